"""Which objects a run repairs, and what it says of the others."""

from __future__ import annotations

import pytest

from media_enricher.declared_types import Left
from media_enricher.repair_stats import LARGEST_COPY, RepairStats, Skipped
from media_enricher.type_repairs import MistypedObject, RepairOutcome

pytestmark = pytest.mark.unit


def mistyped(
    path: str = "a",
    declared: str | None = "application/octet-stream",
    true: str = "image/png",
    size: int | None = 1,
    *,
    is_stale: bool = False,
) -> MistypedObject:
    return MistypedObject(
        path=path,
        etag='"1"',
        size_bytes=size,
        declared_content_type=declared,
        content_type=true,
        is_stale=is_stale,
    )


@pytest.mark.parametrize(
    ("each", "allowed", "reason"),
    [
        (mistyped(true="image/svg+xml"), (), Left.EXECUTABLE),
        (mistyped(true="text/html"), (), Left.UNLISTED),
        (mistyped(declared="text/csv", true="text/plain"), (), Left.FINER),
        (mistyped(is_stale=True), (), Skipped.STALE),
        (mistyped(), ("image/jpeg", "video/*"), Skipped.REFUSED_BY_BUCKET),
        (mistyped(size=LARGEST_COPY + 1), (), Skipped.TOO_LARGE),
    ],
)
def test_what_stays_is_counted_by_its_reason(
    each: MistypedObject, allowed: tuple[str, ...], reason: object
) -> None:
    stats = RepairStats()
    assert stats.plan([each], allowed=allowed, limit=None) == []
    assert dict(stats.left) == {reason: 1}
    assert stats.intent() == f"0 content types to repair; left as they are: 1 {reason}"


@pytest.mark.parametrize("allowed", [(), ("image/png",), ("image/*",), ("*/*",), ("*",)])
def test_what_the_bucket_takes_is_repaired(allowed: tuple[str, ...]) -> None:
    stats = RepairStats()
    (repair,) = stats.plan([mistyped(size=None)], allowed=allowed, limit=None)
    assert repair.to_type == "image/png"


def test_a_right_type_is_not_worth_a_word() -> None:
    stats = RepairStats()
    assert stats.plan([mistyped(declared="image/apng")], allowed=(), limit=None) == []
    assert stats.intent() == "0 content types to repair"


def test_the_limit_is_that_of_the_run() -> None:
    stats = RepairStats()
    pages = [[mistyped("a"), mistyped("b", is_stale=True)], [mistyped("c"), mistyped("d")]]
    chosen = [stats.plan(page, allowed=(), limit=2) for page in pages]
    assert [[each.mistyped.path for each in page] for page in chosen] == [["a"], ["c"]]


def test_what_was_done_in_a_sentence() -> None:
    stats = RepairStats()
    stats.plan([mistyped(str(i)) for i in range(1200)], allowed=(), limit=None)
    stats.outcomes[RepairOutcome.REPAIRED] += 1196
    stats.outcomes[RepairOutcome.UNVERIFIED] += 1
    stats.outcomes[RepairOutcome.NOT_DONE] += 1
    stats.unsettled |= {"ours", "lost"}
    stats.settle("ours", RepairOutcome.REPAIRED)
    stats.settle("another", RepairOutcome.REPAIRED)
    stats.settle("yet another", RepairOutcome.CHANGED)
    assert stats.summary() == (
        "1,198 of 1,200 content types repaired, 1 not done, 1 for the next run to settle,"
        " 2 of an interrupted run settled"
    )


def test_a_run_with_many_failures_fails() -> None:
    stats = RepairStats()
    stats.outcomes[RepairOutcome.FAILED] += 9
    assert stats.failure_reason(threshold=0.1, minimum=10) is None
    stats.unsettled.add("lost")
    reason = stats.failure_reason(threshold=0.1, minimum=10)
    assert reason == "100% failed, more than the 10% that are accepted"
    stats.outcomes[RepairOutcome.REPAIRED] += 90
    assert stats.failure_reason(threshold=0.1, minimum=10) is None
