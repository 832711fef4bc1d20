"""Settling the snapshots of runs that are over: what was never recorded is deleted from them.

A run that was killed between a part of its snapshot and the rows of it leaves a part that counts
nowhere else. Its objects have no rows, so the next run does them, from the task cache.
"""

from __future__ import annotations

from prefect import get_run_logger, task

from media_enricher.models import ErrorCode
from media_enricher.settings import settings
from media_enricher.snapshot import SnapshotError, discard_parts
from media_enricher.supabase.errors import SupabaseError
from media_enricher.supabase.ledgers import GivenUp
from tasks import resources


@task(name="settle", task_run_name="settle", persist_result=False)
def settle() -> list[str]:
    """Settle the snapshots of all runs that have ended, or are taken for dead.

    Returns:
        Nothing: a part that was never recorded is none of anybody's business.

    Raises:
        SupabaseError: the database did not answer.
    """
    settle_snapshots()
    return []


def settle_snapshots(bucket: str | None = None) -> None:
    """Settle the snapshots of such runs on a bucket; on all if none is named.

    One that can't be reached is logged, and left for the next time.

    Raises:
        SupabaseError: the database did not answer.
    """
    ledger = resources.snapshot_ledger()
    for run in ledger.give_up(bucket, settings().dead_after_seconds):
        try:
            is_gone = _discard(run)
        except (SnapshotError, SupabaseError) as error:
            get_run_logger().warning(
                "parts %s of the snapshot of run %s were never recorded, and are still there: %s",
                *(run.parts, run.run_id, error),
            )
            continue
        if is_gone:
            ledger.forget(run.run_id, run.parts)


def _discard(run: GivenUp) -> bool:
    if run.snapshot_path is None:
        return True
    try:
        return discard_parts(run.snapshot_path, run.parts, resources.bucket)
    except SupabaseError as error:
        if error.code is ErrorCode.NOT_FOUND:
            return True  # with its bucket
        raise
