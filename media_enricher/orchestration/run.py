"""A run under way: its id, its selection, its counters and its snapshot."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from media_enricher.models import Mode, Selection, StoppedBy
from media_enricher.orchestration import resources
from media_enricher.orchestration.recorder import Recorder
from media_enricher.orchestration.run_budget import RunBudget
from media_enricher.orchestration.state_hooks import run_rows
from media_enricher.run_stats import RunStats
from media_enricher.settings import settings
from media_enricher.snapshot.writer import SnapshotWriter


class Run:
    """The state that the steps of one flow run share.

    Attributes:
        id: the id of the Prefect flow run, also used in the table and in the snapshot's path.
        limit: the maximum number of objects still to process; None for no limit.
        budget: the bytes that it may still read; None for any number.
    """

    def __init__(
        self,
        run_id: str,
        selection: Selection,
        limit: int | None = None,
        max_bytes: int | None = None,
    ) -> None:
        """Open the run. If Prefect retries it, continue from its stored counters.

        Raises:
            SupabaseError: the run table does not respond.
        """
        before = run_rows.pop(run_id, None) or resources.run_table().get(run_id)
        started_at = (before and before.started_at) or datetime.now(UTC)
        self.id = run_id
        self.selection = selection
        self.stats = RunStats(before=before)
        self._processed_before = self.stats.processed  # by attempts before this one
        self.limit = None if limit is None else max(0, limit - self.stats.processed)
        self.budget = None if max_bytes is None else RunBudget(max_bytes, self.stats.bytes_read)
        self.snapshot = SnapshotWriter(
            run_id, selection.bucket, started_at, settings().snapshot, resources.bucket
        )
        self.recorder = Recorder(run_id, selection.bucket, self.snapshot)

    def expect(self, objects: int) -> None:
        """Add to the run's total of objects, in its row too.

        Raises:
            SnapshotError: the snapshot cannot be written.
            SupabaseError: Supabase does not respond.
        """
        self.stats.expect(objects)
        self._record_total()

    def expect_in_all(self, objects: int, *, is_counting: bool) -> None:
        """Raise the run's total to what this attempt has counted so far, in its row too.

        Args:
            objects: what was counted, and is in no batch yet or was in one since.
            is_counting: whether there may be more.

        Raises:
            SnapshotError: the snapshot cannot be written.
            SupabaseError: Supabase does not respond.
        """
        self.stats.total = max(self.stats.total, self._processed_before + objects)
        self.stats.is_counting = is_counting
        self._record_total()

    def settle(self) -> None:
        """Record what kept the run from objects, or else that it has done all there was to do.

        Raises:
            SupabaseError: Supabase does not respond.
        """
        if self.budget and self.budget.has_held_back:
            resources.run_table().record(self.id, stopped_by=StoppedBy.MAX_BYTES)
        elif self.stats.settle():
            resources.run_table().record(self.id, settle_total=True)

    def _record_total(self) -> None:
        self.recorder.open()  # an unusable snapshot target fails here, not after the first batch
        resources.run_table().record(
            self.id, snapshot_path=self.snapshot.path, total_files=self.stats.total
        )

    def summary(self) -> str:
        """What the run did, for people."""
        held_back = self.budget.summary() if self.budget else ""
        return "; ".join(filter(None, (self.stats.summary(), held_back)))

    def failure_reason(self) -> str | None:
        """Why the run must end as failed; None if it need not."""
        return self.stats.failure_reason(
            threshold=settings().failure_threshold,
            minimum=settings().failure_threshold_minimum,
            seen_so_far=self._seen_so_far,
        )

    def _seen_so_far(self) -> int:
        """The number of objects of the selection that any run has processed."""
        assets = resources.asset_table()
        all_objects = msgspec.structs.replace(self.selection, mode=Mode.ALL)
        unseen = msgspec.structs.replace(self.selection, mode=Mode.MISSING)
        return assets.count_pending(all_objects).objects - assets.count_pending(unseen).objects
