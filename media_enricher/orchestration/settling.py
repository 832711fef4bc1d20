"""Settling snapshots: what is recorded can be read, and what runs never recorded is deleted.

A run that was killed between a part of its snapshot and the rows of it leaves a file that counts
nowhere, and that no reader takes for a part. Its objects have no rows, so the next run does them,
from the task cache; the file is deleted once the run has ended, or is taken for dead.

A run that was killed between the rows of a part and the part's name leaves a recorded part that
nobody can read. That is mended at once, of runs that look alive, too: the database says that it is
recorded, so it does not matter who gives it its name.
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
    """Settle the snapshots of runs on a bucket; on all if none is named.

    Parts that were never recorded are deleted where the run has ended, or is taken for dead.

    One that can't be reached is logged, and left for the next time.

    Raises:
        SupabaseError: the database did not answer.
    """
    ledger = resources.snapshot_ledger()
    for run in ledger.give_up(bucket, settings().dead_after_seconds):
        try:
            is_settled = _settle(run)
        except (SnapshotError, SupabaseError) as error:
            get_run_logger().warning(
                "the snapshot of run %s is not settled: its last recorded part is %s, and parts %s "
                "were never recorded; the next run on the bucket, or the next sweep, tries again: "
                "%s",
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
            return True  # with its bucket
        raise
