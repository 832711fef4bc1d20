"""The audit snapshot: Parquet files that say what a run did to each object, and why.

`SnapshotWriter` writes them part by part while the run goes along, `open_snapshot` reads them back
and `summary.summarise` puts them into figures. Reading needs pandas; writing does not load it.
"""

from media_enricher.snapshot.discarding import settle_parts
from media_enricher.snapshot.reader import Snapshot, open_snapshot
from media_enricher.snapshot.targets import SnapshotError
from media_enricher.snapshot.writer import SnapshotWriter

__all__ = ["Snapshot", "SnapshotError", "SnapshotWriter", "open_snapshot", "settle_parts"]
