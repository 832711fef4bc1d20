"""First step: ask the database which objects are pending."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from prefect import get_run_logger, task

from media_enricher.metrics import Stage
from media_enricher.models import PendingCount, Selection, Share, StorageObject
from media_enricher.orchestration import resources
from media_enricher.orchestration.own_buckets import refuse_own_bucket
from media_enricher.orchestration.prefetching import prefetched
from media_enricher.orchestration.run_budget import RunBudget

PAGES_AHEAD = 4
"""As many as two batches in header depth: they are there when batches end. Some 2 MB of memory."""


class UnknownBucketError(Exception):
    """The bucket does not exist, or the key has no access to it."""


def require_bucket(bucket: str) -> None:
    """Make sure that runs may work on a bucket.

    Raises:
        OwnBucketError: the bucket is one that runs write to.
        UnknownBucketError: there is no such bucket; it would otherwise look like an empty one.
        SupabaseError: Storage did not respond.
    """
    refuse_own_bucket(bucket)
    if not resources.bucket(bucket).exists():
        raise UnknownBucketError(
            f"there is no bucket {bucket!r} in this project; "
            "check the name on the Storage page, or create the bucket"
        )


@task(name="plan", task_run_name="plan", persist_result=False)
def plan(selection: Selection, *, limit: int | None) -> PendingCount:
    """Mark deleted objects as gone, then count the pending objects of a selection.

    Args:
        selection: bucket, prefix, mode and depth.
        limit: the most objects to count, or None for all of them.

    Raises:
        OwnBucketError: the bucket is one that runs write to.
        UnknownBucketError: there is no such bucket; it would otherwise look like an empty one.
        SupabaseError: the database did not respond.
    """
    logger = get_run_logger()
    require_bucket(selection.bucket)
    assets = resources.asset_table()
    with resources.metrics().timed(selection.bucket, Stage.PLAN):
        gone = assets.mark_gone(selection)
        pending = assets.count_pending(selection, limit=limit)
    if gone:
        logger.info("marked %s assets as gone: their objects were deleted", f"{gone:,}")
    logger.info("%s (mode %s, depth %s)", pending.summary(), selection.mode, selection.depth)
    return pending


@task(name="split", task_run_name="split", persist_result=False)
def split(selection: Selection, shards: int) -> list[Share]:
    """Split the pending objects into at most so many ranges with about the same amount of work.

    Raises:
        SupabaseError: the database did not respond.
    """
    return resources.asset_table().split_pending(selection, shards)


def pending_objects(
    selection: Selection, *, limit: int | None, budget: RunBudget | None = None
) -> Iterator[StorageObject]:
    """Yield the pending objects in the byte order of their paths; fetch pages as needed.

    Objects that the whole budget has no room for are left out, and do not count towards the limit.
    """
    if budget is None:
        return _listed(selection, limit)
    return islice(budget.affordable(_listed(selection, None), selection.depth), limit)


def _listed(selection: Selection, limit: int | None) -> Iterator[StorageObject]:
    logger = get_run_logger()
    pages = resources.asset_table().pending_pages(selection, limit=limit)
    timed = resources.metrics().timed_each(selection.bucket, Stage.PLAN, pages)
    for number, page in enumerate(prefetched(timed, ahead=PAGES_AHEAD), start=1):
        logger.info(
            "page %s: %s objects, up to %r",
            f"{number:,}",
            f"{len(page):,}",
            page[-1].path,
            extra={"bucket": selection.bucket, "page": number, "objects": len(page)},
        )
        yield from page


def known_cuts(selection: Selection) -> list[str]:
    """The last paths of batches that earlier runs wrote only in part.

    Raises:
        SupabaseError: the database did not respond.
    """
    return resources.asset_table().cuts(selection.bucket)
