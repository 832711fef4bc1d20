"""The accounts of several runs, added up from their rows."""

from __future__ import annotations

import time
from collections.abc import Collection

from media_enricher.models import EnrichRun, RunStatus

_UNDER_WAY = (RunStatus.QUEUED, RunStatus.RUNNING)


class Tally:
    """What the shards of a run have done together.

    Attributes:
        total: objects that they have to do, as planned; more if more turned up.
        succeeded: objects that were enriched.
        failed: objects that were not.
        skipped: objects of types without a probe, and those that went away.
        bytes_read: from Storage.
    """

    def __init__(self) -> None:
        """Nothing is planned yet."""
        self.total = self.succeeded = self.failed = self.skipped = self.bytes_read = 0
        self._started = time.monotonic()

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

    @property
    def processed(self) -> int:
        """Objects done, one way or another."""
        return self.succeeded + self.failed + self.skipped

    @property
    def seconds(self) -> float:
        """Since this attempt began."""
        return time.monotonic() - self._started

    @property
    def per_second(self) -> float:
        """Objects per second of this attempt."""
        return self.processed / self.seconds if self.seconds else 0.0

    def counters(self) -> dict[str, int]:
        """The counters of the parent's row."""
        return {
            "total_files": self.total,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "skipped": self.skipped,
            "bytes_read": self.bytes_read,
        }

    def sentence(self) -> str:
        """What was done: `980 enriched, 20 failed, 3 skipped of 1,003 in 41 s`."""
        if not self.total:
            return "Nothing to do"
        parts = [f"{self.succeeded:,} enriched"]
        parts += [
            f"{count:,} {what}"
            for what, count in {"failed": self.failed, "skipped": self.skipped}.items()
            if count
        ]
        return f"{', '.join(parts)} of {self.total:,} in {self.seconds:,.0f} s"
