"""Delete records that are older than the retention period."""

from __future__ import annotations

from prefect import get_run_logger, task

from media_enricher.orchestration import resources
from media_enricher.settings import settings


@task(name="purge", task_run_name="purge", persist_result=False)
def purge() -> list[str]:
    """Delete records that are older than `MEDIA_ENRICHER_KEEP_DAYS`.

    They are the requests to start runs, and what is stored of runs besides their rows: why objects
    failed, and which snapshot parts were written. Requests for deleted buckets go at once.

    Returns:
        One sentence if any records were deleted, else none.

    Raises:
        SupabaseError: the database did not respond.
    """
    keep_days = settings().keep_days
    purged = resources.run_requests().purge(keep_days) + resources.snapshot_ledger().purge(
        keep_days
    )
    if not purged:
        return []
    sentence = f"deleted {purged:,} old records of runs and run requests"
    get_run_logger().info(sentence)
    return [sentence]
