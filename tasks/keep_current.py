"""Keeping a bucket current: what left it is marked as gone, and what is missing gets a run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from prefect import get_run_logger, task

from media_enricher.models import FlowName, Selection
from media_enricher.orchestration import resources
from media_enricher.orchestration.own_buckets import own_buckets
from media_enricher.orchestration.request import request_run
from media_enricher.supabase.own_buckets import refusal
from tasks.plan import UnknownBucketError


@task(name="keep-current", task_run_name="keep {bucket} current", persist_result=False)
def keep_current(bucket: str) -> list[str]:
    """Mark what is gone from a bucket, and start a backfill if anything is missing.

    One of our own buckets is left alone.

    Returns:
        A sentence for each thing that was done.

    Raises:
        UnknownBucketError: a missing bucket would otherwise look like an empty one.
        SupabaseError: the database did not answer.
        UnknownDeploymentError: Prefect has no deployment of the backfill.
        PrefectApiError: Prefect is away.
    """
    logger = get_run_logger()
    if bucket in own_buckets():
        # Each run writes there, which must not be what the next run is for.
        logger.warning(refusal(bucket))
        return []
    if not resources.bucket(bucket).exists():
        raise UnknownBucketError(
            f"there is no bucket {bucket!r} in this project; correct MEDIA_ENRICHER_BUCKETS or the "
            "sweep's parameter, or create it"
        )
    assets, everything = resources.asset_table(), Selection(bucket=bucket)
    with ThreadPoolExecutor() as side_by_side:  # the database reads the whole bucket for each
        marked = side_by_side.submit(assets.mark_gone, everything)
        counted = side_by_side.submit(assets.count_pending, everything, limit=1)
    sentences = []
    if gone := marked.result():
        sentences.append(f"{gone:,} assets of {bucket} are gone")
    if counted.result().objects:
        run_id = request_run(FlowName.BACKFILL, bucket)
        if run_id is not None:
            sentences.append(f"run {run_id} enriches what is missing from {bucket}")
    for sentence in sentences:
        logger.info(sentence)
    return sentences


@task(name="drain", task_run_name="drain", persist_result=False)
def drain() -> list[str]:
    """Start runs for the single objects that were asked for, where no run is under way for them.

    Such are left by a run that died, and by a gateway that died before it could start one.

    Returns:
        A sentence for each run that was started.

    Raises:
        SupabaseError: the database did not answer.
        UnknownDeploymentError: Prefect has no deployment for single objects.
        PrefectApiError: Prefect is away.
    """
    sentences = []
    for place in resources.run_requests().undrained():
        run_id = request_run(FlowName.ENRICH_OBJECT, place.bucket, place.prefix)
        if run_id is not None:
            sentences.append(
                f"run {run_id} enriches what was asked for in {place.bucket}/{place.prefix}"
            )
            get_run_logger().info(sentences[-1])
    return sentences
