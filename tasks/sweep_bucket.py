"""Sweep a bucket: compare it with its assets, and start a backfill if any objects are pending."""

from __future__ import annotations

from prefect import get_run_logger, task

from media_enricher.models import FlowName
from media_enricher.orchestration import resources
from media_enricher.orchestration.comparing import Compared, compare_part, compare_whole
from media_enricher.orchestration.opening import UnknownBucketError
from media_enricher.orchestration.own_buckets import own_buckets
from media_enricher.orchestration.request import request_run
from media_enricher.supabase.own_buckets import refusal


@task(name="sweep-bucket", task_run_name="sweep {bucket}", persist_result=False)
def sweep_bucket(bucket: str) -> list[str]:
    """Mark deleted objects as gone, and start a backfill if any object is pending.

    Where the change feed is on, the bucket is compared once a day only: what changes is in the
    queue of single objects. Without the feed, a sweep compares a part of the bucket, which is all
    of a small one. A bucket that runs write to is skipped.

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
    following = resources.asset_table().next_comparison(bucket)
    match following.comparing:
        case "whole":
            compared = compare_whole(bucket)
        case "part":
            compared = compare_part(bucket, following)
        case "nothing":
            compared = Compared(bucket=bucket)
    if following.comparing == "nothing":
        logger.info("%s is compared once a day: the change feed queues what changes", bucket)
    else:
        logger.info(compared.summary(of=following.objects))

    sentences = []
    if gone := compared.gone:
        sentences.append(
            f"marked {gone:,} {'asset' if gone == 1 else 'assets'} of {bucket} as gone"
        )
    is_known_to_wait = following.is_waiting and not compared.is_whole
    if compared.pending or is_known_to_wait:
        run_id = request_run(FlowName.BACKFILL, bucket)
        if run_id is not None:
            sentences.append(f"run {run_id} enriches the missing objects of {bucket}")
    for sentence in sentences:
        logger.info(sentence)
    return sentences
