"""The engine: objects in, outcomes out, downloading and decoding on every processor.

`EnrichPool` is the caller's side, and all that a caller needs. It feeds *engine workers*: processes
that download on an event loop. Beside each is its *decoder*, a sandboxed process that reads the
bytes in memory that both share.
"""

from media_enricher.engine.options import EngineOptions
from media_enricher.engine.pool import EnrichPool
from media_enricher.engine.requests import PoolClosed
from media_enricher.engine.worker_pool import WorkerStartError

__all__ = ["EngineOptions", "EnrichPool", "PoolClosed", "WorkerStartError"]
