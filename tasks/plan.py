"""First step: what is there to do. The database answers; nothing is listed that is done."""

from __future__ import annotations

from collections.abc import Iterator

from prefect import get_run_logger, task

from media_enricher.metrics import Stage
from media_enricher.models import PendingCount, Selection, Share, StorageObject
from media_enricher.orchestration import resources
from media_enricher.orchestration.own_buckets import refuse_own_bucket


class UnknownBucketError(Exception):
    """The bucket to work on does not exist, or the key may not see it."""


@task(name="plan", task_run_name="plan", persist_result=False)
def plan(selection: Selection, *, limit: int | None, dry_run: bool) -> PendingCount:
    """Count what the selection leaves to do, after marking what has gone from the bucket.

    Args:
        selection: bucket, prefix, mode and depth.
        limit: the most objects to count, or None for all of them.
        dry_run: count only; write nothing.

    Raises:
        OwnBucketError: the bucket holds what runs store themselves.
        UnknownBucketError: a missing bucket would otherwise look like an empty one.
        SupabaseError: the database did not answer.
    """
    logger = get_run_logger()
    refuse_own_bucket(selection.bucket)
    if not resources.bucket(selection.bucket).exists():
        raise UnknownBucketError(
            f"there is no bucket {selection.bucket!r} in this project; "
            "check its name in the Storage page, or create it"
        )
    assets = resources.asset_table()
    with resources.metrics().timed(selection.bucket, Stage.PLAN):
        gone = 0 if dry_run else assets.mark_gone(selection)
        pending = assets.count_pending(selection, limit=limit)
    if gone:
        logger.info("marked %s assets as gone: their objects were deleted", f"{gone:,}")
    logger.info("%s (mode %s, depth %s)", pending.summary(), selection.mode, selection.depth)
    return pending


@task(name="split", task_run_name="split", persist_result=False)
def split(selection: Selection, shards: int) -> list[Share]:
    """Cut what the selection leaves to do into at most so many ranges of about the same work.

    Raises:
        SupabaseError: the database did not answer.
    """
    return resources.asset_table().split_pending(selection, shards)


def pending_objects(selection: Selection, *, limit: int | None) -> Iterator[StorageObject]:
    """Yield the objects to do in the order of their names, fetched a page at a time as needed."""
    logger = get_run_logger()
    pages = resources.asset_table().pending_pages(selection, limit=limit)
    timed = resources.metrics().timed_each(selection.bucket, Stage.PLAN, pages)
    for number, page in enumerate(timed, start=1):
        logger.info(
            "page %s: %s objects, up to %r",
            f"{number:,}",
            f"{len(page):,}",
            page[-1].path,
            extra={"bucket": selection.bucket, "page": number, "objects": len(page)},
        )
        yield from page


def known_cuts(selection: Selection) -> list[str]:
    """Where earlier runs have ended batches that they wrote in part.

    Raises:
        SupabaseError: the database did not answer.
    """
    return resources.asset_table().cuts(selection.bucket)
