"""The engine: objects in, outcomes out, downloading and decoding on every processor.

`EnrichPool` is the parent's side and all that a caller needs. A *lane* is one process (or, with
`lanes=0`, one thread) that downloads on an event loop and decodes on a thread beside it, so that
the bytes of an object never cross from one process to another.
"""

from media_enricher.enrich.calls import PoolClosed
from media_enricher.enrich.crew import LaneStartError
from media_enricher.enrich.options import EngineOptions
from media_enricher.enrich.pool import EnrichPool

__all__ = ["EngineOptions", "EnrichPool", "LaneStartError", "PoolClosed"]
