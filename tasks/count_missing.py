"""After the last step: count what is still missing from the bucket, for the dashboard."""

from __future__ import annotations

from prefect import get_run_logger, task

from media_enricher.orchestration.comparing import compare_whole
from media_enricher.supabase.errors import SupabaseError


@task(name="count-missing", task_run_name="count missing in {bucket}", persist_result=False)
def count_missing(bucket: str) -> None:
    """Store how many objects of a bucket are pending, so that the dashboard need not count them.

    It compares the whole bucket, which counts as a comparison of the sweep. The sweep will make it
    again. So a failure is logged, and the run ends as it would have.
    """
    try:
        compare_whole(bucket)
    except SupabaseError as error:
        get_run_logger().warning("Could not count what is missing from %s: %s", bucket, error)
