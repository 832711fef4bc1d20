"""First step: ask the database which objects are pending."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec
from prefect import get_run_logger, task

from media_enricher.batching import LIMITS
from media_enricher.comparisons import ComparedPiece
from media_enricher.metrics import Stage
from media_enricher.models import PendingCount, Selection, Share, StorageObject
from media_enricher.orchestration import resources
from media_enricher.orchestration.counting import Counting
from media_enricher.orchestration.opening import Opening, require_bucket
from media_enricher.orchestration.prefetching import prefetched
from media_enricher.orchestration.run import Run
from media_enricher.orchestration.run_budget import RunBudget

PAGES_AHEAD = 2
"""A page is a batch, at most. In header depth, each is some 2 MB of memory."""
_RECORD_SECONDS = 0.5
"""How often the run's total is recorded while it grows: each is a request to the database."""


@task(name="plan", task_run_name="plan", persist_result=False)
def plan(run: Run, opening: Opening, counting: Counting) -> PendingCount:
    """Mark deleted objects as gone, count the pending ones, and hand out what is counted.

    It goes through the run's selection in pieces, up to the run's limit. What is counted is
    recorded as the run's total before it is handed out, so the total is never below what is done.
    The first piece is handed out at once, so that it is read while the snapshot is opened, which
    takes up to eight round trips: only its writing waits for that.

    Args:
        run: the run whose objects are counted.
        opening: says whether runs may work on the bucket. It is waited for once the first piece is
            compared, which marks as gone what is not there, and before any piece is handed out.
        counting: gets the pieces that have pending objects.

    Returns:
        What is pending in the pieces that were counted.

    Raises:
        OwnBucketError: the bucket is one that runs write to.
        UnknownBucketError: there is no such bucket; it would otherwise look like an empty one.
        SnapshotError: the snapshot cannot be written.
        SupabaseError: the database did not respond.
    """
    logger, selection = get_run_logger(), run.selection
    pending, gone = PendingCount(0, 0), 0
    held_back: list[Selection] = []
    recorded_at: float | None = None
    for piece, compared in _compared_pieces(selection):
        opening.bucket_checked.result()
        gone += compared.gone
        pending += PendingCount(compared.pending, compared.size_bytes)
        if compared.pending and recorded_at is None:
            counting.hand_out(piece)
        elif compared.pending:
            held_back.append(piece)
        is_last = compared.is_last or (run.limit is not None and pending.objects >= run.limit)
        if is_last or recorded_at is None or time.monotonic() - recorded_at >= _RECORD_SECONDS:
            run.expect_in_all(_limited(pending.objects, run.limit), is_counting=not is_last)
            recorded_at = time.monotonic()
            counting.let_write()
            for counted in held_back:
                counting.hand_out(counted)
            held_back.clear()
        if is_last or counting.is_stopped:
            break
    if gone:
        logger.info("marked %s assets as gone: their objects were deleted", f"{gone:,}")
    logger.info("%s (mode %s, depth %s)", pending.summary(), selection.mode, selection.depth)
    return pending


def _compared_pieces(selection: Selection) -> Iterator[tuple[Selection, ComparedPiece]]:
    """Compare a selection piece by piece; yield each with its range."""
    assets, metrics = resources.asset_table(), resources.metrics()
    left = selection
    while True:
        with metrics.timed(selection.bucket, Stage.PLAN):
            compared = assets.compare_piece(left)
        yield msgspec.structs.replace(left, until=compared.until), compared
        if compared.is_last:
            return
        left = msgspec.structs.replace(left, after=compared.until)


def _limited(objects: int, limit: int | None) -> int:
    return objects if limit is None else min(objects, limit)


@task(name="split", task_run_name="split", persist_result=False)
def split(selection: Selection, shards: int) -> list[Share]:
    """Split the pending objects into at most so many ranges with about the same amount of work.

    Raises:
        OwnBucketError: the bucket is one that runs write to.
        UnknownBucketError: there is no such bucket.
        SupabaseError: the database did not respond.
    """
    require_bucket(selection.bucket)
    with resources.metrics().timed(selection.bucket, Stage.PLAN):
        return resources.asset_table().split_pending(selection, shards)


def pending_objects(
    ranges: Iterable[Selection], *, limit: int | None, budget: RunBudget | None = None
) -> Iterator[StorageObject]:
    """Yield the pending objects of ranges, each in the byte order of its paths.

    The next pages are fetched while the present one is used. Objects that the whole budget has no
    room for are left out, and do not count towards the limit.

    Args:
        ranges: in the order of their paths, of one bucket. Another thread iterates over them.
        limit: the most objects to yield, or None for all of them.
        budget: the bytes that the run may still read; None for any number.
    """

    def affordable() -> Iterator[StorageObject]:
        pages = _pages(ranges, limit if budget is None else None)
        for selection, page in prefetched(pages, ahead=PAGES_AHEAD):
            yield from page if budget is None else budget.affordable(page, selection.depth)

    return islice(affordable(), limit)


def _pages(
    ranges: Iterable[Selection], limit: int | None
) -> Iterator[tuple[Selection, list[StorageObject]]]:
    """Fetch pages of at most so many objects in all; yield each with its range."""
    assets, metrics, logger = resources.asset_table(), resources.metrics(), get_run_logger()
    left = limit
    for selection in ranges:
        rows = LIMITS[selection.depth].objects  # so no batch waits for a second page
        pages = assets.pending_pages(selection, limit=left, rows=rows)
        for page in metrics.timed_each(selection.bucket, Stage.PLAN, pages):
            logger.info(
                "page: %s objects, up to %r",
                f"{len(page):,}",
                page[-1].path,
                extra={"bucket": selection.bucket, "objects": len(page)},
            )
            yield selection, page
            left = None if left is None else left - len(page)
        if left is not None and left <= 0:
            return
