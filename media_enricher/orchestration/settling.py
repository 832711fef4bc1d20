"""Clean up snapshots: recorded parts become readable, parts that were never recorded are deleted.

A run that was killed after it wrote a part of its snapshot, but before it recorded the rows, leaves
a file that readers ignore. Its objects have no rows, so the next run processes them, from the task
cache. The file is deleted once the run has ended or counts as dead.

A run that was killed after it recorded the rows, but before it renamed the part, leaves a recorded
part that readers ignore. It is renamed at once, even if the run looks alive: the database says that
the part is recorded, so any process may rename it.
"""

from __future__ import annotations

from prefect import get_run_logger

from media_enricher.models import ErrorCode
from media_enricher.orchestration import resources
from media_enricher.settings import settings
from media_enricher.snapshot.discarding import settle_parts
from media_enricher.snapshot.targets import SnapshotError
from media_enricher.supabase.errors import SupabaseError
from media_enricher.supabase.ledgers import Unsettled


def settle_snapshots(bucket: str | None = None) -> None:
    """Clean up the snapshots of runs on a bucket, or on all buckets if none is given.

    Parts that were never recorded are deleted if their run has ended or counts as dead. A snapshot
    that cannot be reached is logged, and tried again next time.

    Raises:
        SupabaseError: the database did not respond.
    """
    ledger = resources.snapshot_ledger()
    for run in ledger.give_up(bucket, settings().dead_after_seconds):
        try:
            is_settled = _settle(run)
        except (SnapshotError, SupabaseError) as error:
            get_run_logger().warning(
                "could not clean up the snapshot of run %s (last recorded part: %s; parts to "
                "delete: "
                "%s): %s. The next run on the bucket, or the next sweep, tries again.",
                *(run.run_id, run.recorded, run.parts, error),
            )
            continue
        if is_settled and run.parts:
            ledger.forget(run.run_id, run.parts)


def _settle(run: Unsettled) -> bool:
    if run.snapshot_path is None:
        return True
    try:
        return settle_parts(run.snapshot_path, run.recorded, run.parts, resources.bucket)
    except SupabaseError as error:
        if error.code is ErrorCode.NOT_FOUND:
            return True  # the bucket is gone, and the snapshot with it
        raise
