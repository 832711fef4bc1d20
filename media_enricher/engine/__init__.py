"""The engine: objects in, outcomes out, downloading and decoding on every processor.

`EnrichPool` is the parent's side and all that a caller needs. A *lane* is one process (or, with
`lanes=0`, one thread) that downloads on an event loop and decodes on a thread beside it, so that
the bytes of an object never cross from one process to another.
"""

from media_enricher.engine.calls import PoolClosed
from media_enricher.engine.crew import LaneStartError
from media_enricher.engine.options import EngineOptions
from media_enricher.engine.pool import EnrichPool

__all__ = ["EngineOptions", "EnrichPool", "LaneStartError", "PoolClosed"]
