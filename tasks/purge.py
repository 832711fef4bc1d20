"""Forgetting what nobody needs any more."""

from __future__ import annotations

from prefect import get_run_logger, task

from media_enricher.orchestration import resources
from media_enricher.settings import settings


@task(name="purge", task_run_name="purge", persist_result=False)
def purge() -> list[str]:
    """Delete what is kept of requests to start runs after `MEDIA_ENRICHER_KEEP_DAYS`.

    So is what is kept of runs besides their rows: why objects failed, and which parts they wrote.

    At once, what was asked of buckets that are no more.

    Returns:
        A sentence, if there was any.

    Raises:
        SupabaseError: the database did not answer.
    """
    keep_days = settings().keep_days
    purged = resources.run_requests().purge(keep_days) + resources.snapshot_ledger().purge(
        keep_days
    )
    if not purged:
        return []
    sentence = f"{purged:,} old records of runs and requests to start them were deleted"
    get_run_logger().info(sentence)
    return [sentence]
