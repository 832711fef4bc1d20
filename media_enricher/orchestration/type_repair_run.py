"""A run of repair-types under way: what its steps share."""

from __future__ import annotations

from prefect.context import FlowRunContext

from media_enricher import labels
from media_enricher.orchestration import resources
from media_enricher.orchestration.state_hooks import trigger_of
from media_enricher.pacing import Pacer
from media_enricher.repair_stats import RepairStats
from media_enricher.settings import settings
from media_enricher.snapshot.type_repairs import RepairParts


class TypeRepairRun:
    """The state that the steps of one flow run share.

    It has no row in `media_enrich_runs`: frontends show the newest of those as how far their media
    are enriched. What it did is in `audit.type_repairs`, under its id.

    Attributes:
        id: the id of the Prefect flow run.
        requested_by: who asked for the run, or else what started it.
    """

    def __init__(self, bucket: str, prefix: str, limit: int | None) -> None:
        """Begin a run; read and write nothing yet.

        Args:
            bucket: the bucket whose objects are repaired.
            prefix: only objects whose path starts with it.
            limit: the maximum number of objects to repair; None for all.

        Raises:
            SnapshotError: MEDIA_ENRICHER_SNAPSHOT is not valid.
        """
        context = FlowRunContext.get()
        if context is None or context.flow_run is None:
            raise RuntimeError("a run of repair-types exists within its flow only")
        self.id = str(context.flow_run.id)
        self.requested_by = str(
            context.flow_run.labels.get(labels.REQUESTED_BY) or trigger_of(context.flow_run)
        )
        self.prefix = prefix
        self.limit = limit
        self.bucket = resources.bucket(bucket)
        self.repairs = resources.type_repairs(bucket)
        self.parts = RepairParts(bucket, settings().snapshot, resources.bucket)
        self.pacer = Pacer(settings().repairs_per_second)
        self.stats = RepairStats()
        self.is_verified = False
        """Storage serves the type that was written: looked at once in a run."""

    def write_parts(self) -> None:
        """Write what has ended, and is in no part yet, into Parquet.

        Raises:
            SnapshotError: a folder does not take it.
            SupabaseError: Supabase does not respond.
        """
        while rows := self.repairs.next_part():
            self.parts.write(rows)
            self.repairs.note_part(rows[0].part)

    def summary(self) -> str:
        """What the run did, for people."""
        return self.stats.summary()

    def failure_reason(self) -> str | None:
        """Why the run must end as failed; None if it need not."""
        return self.stats.failure_reason(
            threshold=settings().failure_threshold, minimum=settings().failure_threshold_minimum
        )
