"""Sweep a bucket: mark deleted objects as gone, and start a backfill if any are pending."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from prefect import get_run_logger, task

from media_enricher.models import FlowName, Selection
from media_enricher.orchestration import resources
from media_enricher.orchestration.own_buckets import own_buckets
from media_enricher.orchestration.request import request_run
from media_enricher.supabase.own_buckets import refusal
from tasks.plan import UnknownBucketError


@task(name="sweep-bucket", task_run_name="sweep {bucket}", persist_result=False)
def sweep_bucket(bucket: str) -> list[str]:
    """Mark deleted objects as gone, and start a backfill if any object is pending.

    A bucket that runs write to is skipped.

    Returns:
        One sentence per action taken.

    Raises:
        UnknownBucketError: there is no such bucket; it would otherwise look like an empty one.
        SupabaseError: the database did not respond.
        UnknownDeploymentError: Prefect has no backfill deployment.
        PrefectApiError: Prefect did not respond.
    """
    logger = get_run_logger()
    if bucket in own_buckets():
        # Each run writes there, so every sweep would start another run.
        logger.warning(refusal(bucket))
        return []
    if not resources.bucket(bucket).exists():
        raise UnknownBucketError(
            f"there is no bucket {bucket!r} in this project; create it, or correct "
            "MEDIA_ENRICHER_BUCKETS or the sweep's parameter `buckets`"
        )
    assets, whole_bucket = resources.asset_table(), Selection(bucket=bucket)
    with ThreadPoolExecutor() as executor:  # each query reads the whole bucket
        marked = executor.submit(assets.mark_gone, whole_bucket)
        counted = executor.submit(assets.count_missing, bucket)
    sentences = []
    if gone := marked.result():
        sentences.append(
            f"marked {gone:,} {'asset' if gone == 1 else 'assets'} of {bucket} as gone"
        )
    if counted.result().objects:
        run_id = request_run(FlowName.BACKFILL, bucket)
        if run_id is not None:
            sentences.append(f"run {run_id} enriches the missing objects of {bucket}")
    for sentence in sentences:
        logger.info(sentence)
    return sentences
