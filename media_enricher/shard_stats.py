"""What the shards of a run did, added up from their rows."""

from __future__ import annotations

from collections.abc import Collection

from media_enricher.models import EnrichRun, RunStatus
from media_enricher.run_stats import Counts

_UNDER_WAY = (RunStatus.QUEUED, RunStatus.RUNNING)


class ShardStats(Counts):
    """What the shards of a run have done together."""

    def expect(self, objects: int) -> None:
        """Take note of what is planned."""
        self.total = max(self.total, objects)

    def add_up(self, shards: Collection[EnrichRun]) -> None:
        """Take the figures from their rows, all of them: they are absolute."""
        self.succeeded = sum(shard.succeeded for shard in shards)
        self.failed = sum(shard.failed for shard in shards)
        self.skipped = sum(shard.skipped for shard in shards)
        self.bytes_read = sum(shard.bytes_read for shard in shards)
        # What one that has ended left undone is counted by the one that goes on where it was.
        self.expect(
            sum(
                shard.total_files if shard.status in _UNDER_WAY else shard.processed_files
                for shard in shards
            )
        )
