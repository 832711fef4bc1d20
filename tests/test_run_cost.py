"""What a run would cost: bytes by what is read, and time by the pace of the last runs."""

from __future__ import annotations

from media_enricher.models import Depth, PendingCount, RunPace, Share
from media_enricher.run_cost import (
    HEADER_BYTES,
    Cost,
    Estimate,
    Paces,
    estimate,
    header_bytes,
    joined_shares,
)

GB = 10**9
PENDING = PendingCount(
    objects=1_000, size_bytes=90 * GB, full_bytes=80 * GB, header_bytes=64_000_000
)


def pace(depth: Depth, objects: int, bytes_read: int, seconds: float) -> Paces:
    return {depth: RunPace(depth=depth, objects=objects, bytes_read=bytes_read, seconds=seconds)}


FULL = pace(Depth.FULL, objects=100, bytes_read=8 * GB, seconds=60)
HEADER = pace(Depth.HEADER, objects=500, bytes_read=500 * 20_000, seconds=10)


def cost(depth: Depth, paces: Paces, **options: float) -> Cost:
    limits = {"max_bytes": None, "bytes_per_second": None, "suggest_header_above": 1000 * GB}
    return estimate(PENDING, depth, paces, **(limits | options)).cost  # type: ignore[arg-type]


def test_bytes_are_those_that_the_depth_reads() -> None:
    assert cost(Depth.FULL, {}) == Cost(80 * GB, None)
    assert cost(Depth.HEADER, {}) == Cost(64_000_000, None)
    assert cost(Depth.FULL, {}, max_bytes=5 * GB).read_bytes == 5 * GB


def test_time_is_by_the_pace_of_runs_of_the_same_depth() -> None:
    assert cost(Depth.FULL, FULL).seconds == 600
    assert cost(Depth.HEADER, FULL).seconds is None
    assert cost(Depth.HEADER, HEADER).seconds == 20
    assert cost(Depth.FULL, FULL, max_bytes=40 * GB).seconds == 300
    assert cost(Depth.FULL, FULL, bytes_per_second=100e6).seconds == 800, "the limit is slower"
    assert cost(Depth.FULL, FULL, bytes_per_second=1e12).seconds == 600


def test_a_header_takes_what_the_last_runs_read_of_an_object() -> None:
    assert header_bytes({}) == HEADER_BYTES
    assert header_bytes(FULL) == HEADER_BYTES
    assert header_bytes(HEADER) == 20_000


def test_header_is_suggested_where_full_reads_more_than_the_setting() -> None:
    def asked(depth: Depth, above: float, max_bytes: int | None = None) -> Estimate:
        return estimate(PENDING, depth, HEADER, max_bytes=max_bytes, suggest_header_above=above)

    suggested = asked(Depth.FULL, 79 * GB)
    assert suggested.header == Cost(64_000_000, 20)
    assert suggested.suggestion() == (
        "Consider depth header first (61.0 MiB to read, about 20 s): depth full reads 74.5 GiB."
    )
    assert asked(Depth.FULL, 80 * GB).header is None
    assert asked(Depth.HEADER, 0).header is None
    assert asked(Depth.FULL, 79 * GB, max_bytes=GB).header is None


def test_nothing_to_do_costs_nothing() -> None:
    nothing = PendingCount(objects=0, size_bytes=0)
    found = estimate(nothing, Depth.FULL, FULL, suggest_header_above=0)
    assert (found.cost, found.header) == (Cost(0, 0.0), None)
    assert found.summary() == "0 objects to enrich"


def test_the_summary_says_it_all() -> None:
    found = estimate(PENDING, Depth.FULL, FULL, suggest_header_above=1000 * GB)
    assert found.summary() == (
        "1,000 objects to enrich, 83.8 GiB stored, 74.5 GiB to read, about 10 min"
    )
    unknown = estimate(PENDING, Depth.FULL, {}, suggest_header_above=0).summary()
    assert "in an unknown time (no run of this depth yet). Consider depth header" in unknown


def test_shares_are_joined_to_fewer_of_about_the_same_work_that_cover_the_same() -> None:
    fine = [Share(until=f"{n:03}", objects=10 + n % 3, size_bytes=n % 5 * 1000) for n in range(200)]
    for depth in Depth:
        joined = joined_shares(fine, 4, depth)
        assert [share.until for share in joined] == sorted(share.until for share in joined)
        assert len(joined) == 4
        assert joined[-1].until == fine[-1].until
        assert sum(share.objects for share in joined) == sum(share.objects for share in fine)
        assert sum(share.size_bytes for share in joined) == sum(each.size_bytes for each in fine)
        objects = [share.objects for share in joined]
        assert max(objects) <= 1.1 * min(objects)
    assert joined_shares([], 4, Depth.FULL) == []
    assert joined_shares(fine[:1], 4, Depth.FULL) == fine[:1]
