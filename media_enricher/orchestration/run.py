"""A run under way: its id, what it was asked, its figures and its snapshot."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from media_enricher.models import Mode, Selection
from media_enricher.orchestration import resources
from media_enricher.orchestration.recorder import Recorder
from media_enricher.run_stats import RunStats
from media_enricher.settings import settings
from media_enricher.snapshot.writer import SnapshotWriter


class Run:
    """What the steps of one flow run share.

    Attributes:
        id: that of the Prefect flow run, in the table and in the snapshot's path too.
        limit: the most objects that are still to be done, or None.
    """

    def __init__(self, run_id: str, selection: Selection, limit: int | None = None) -> None:
        """Open the run, or open it again where Prefect retries it: what was done then counts.

        Raises:
            SupabaseError: the run table does not answer.
        """
        before = resources.run_table().get(run_id)
        started_at = (before and before.started_at) or datetime.now(UTC)
        self.id = run_id
        self.selection = selection
        self.stats = RunStats(before=before)
        self.limit = None if limit is None else max(0, limit - self.stats.processed)
        self.snapshot = SnapshotWriter(
            run_id, selection.bucket, started_at, settings().snapshot, resources.bucket
        )
        self.recorder = Recorder(run_id, selection.bucket, self.snapshot)

    def expect(self, objects: int) -> None:
        """Take note of how many more objects there are to do, where those who watch can see it.

        Raises:
            SnapshotError: there is nowhere to put the snapshot.
            SupabaseError: Supabase does not answer.
        """
        self.recorder.open()  # here, and not after the first batch, if it can't be used
        self.stats.expect(objects)
        resources.run_table().record(
            self.id, snapshot_path=self.snapshot.path, total_files=self.stats.total
        )

    def summary(self) -> str:
        """What the run did, for people."""
        return self.stats.summary()

    def failure_reason(self) -> str | None:
        """Why the run is to end failed, or None."""
        ours = settings()
        return self.stats.failure_reason(
            threshold=ours.failure_threshold,
            minimum=ours.failure_threshold_minimum,
            seen_so_far=self._seen_so_far,
        )

    def _seen_so_far(self) -> int:
        """The objects of the selection that this run or another has dealt with."""
        assets = resources.asset_table()
        everything = msgspec.structs.replace(self.selection, mode=Mode.ALL)
        unseen = msgspec.structs.replace(self.selection, mode=Mode.MISSING)
        return assets.count_pending(everything).objects - assets.count_pending(unseen).objects
