"""The figures of a run: they add up, and say rightly whether the run failed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from media_enricher.models import AssetStatus, EnrichRun, ErrorCode, Outcome, RunStatus
from media_enricher.run_stats import RunSpeed, RunStats, speed_of
from tests.test_batching import outcome


def unsupported(path: str) -> Outcome:
    result = outcome(path, ErrorCode.UNSUPPORTED_TYPE)
    result.asset.status = AssetStatus.UNSUPPORTED
    return result


def stats_of(enriched: int = 0, *codes: ErrorCode) -> RunStats:
    stats = RunStats()
    stats.expect(enriched + len(codes))
    stats.add([outcome(f"ok-{i}") for i in range(enriched)])
    stats.add([outcome(f"bad-{i}", code) for i, code in enumerate(codes)])
    return stats


def test_the_sentence_says_what_was_done() -> None:
    stats = stats_of(980, *[ErrorCode.CORRUPT] * 20)
    stats.expect(3)
    stats.add([unsupported(f"u-{i}") for i in range(3)])
    assert stats.summary() == "980 enriched, 20 failed, 3 unsupported of 1,003 in 0 s"


def test_what_a_retry_tries_again_is_no_second_object() -> None:
    before = EnrichRun(id="r", bucket="b", total_files=10, succeeded=8, failed=2)
    stats = RunStats(before=before)
    stats.expect(2)

    stats.add(
        [outcome("healed-0"), outcome("healed-1")],
        recorded=EnrichRun(id="r", bucket="b", total_files=10, succeeded=10),
    )

    assert stats.summary() == "10 enriched of 10 in 0 s"


def test_an_object_that_could_not_be_read_twice_is_an_outage_too() -> None:
    stats = RunStats()
    for _ in range(2):
        stats.expect(1)
        stats.add(
            [outcome("a", ErrorCode.NETWORK)],
            recorded=EnrichRun(id="r", bucket="b", total_files=1, failed=1),
        )

    assert stats.failure_reason(threshold=1.0, minimum=10) == (
        "none of 1 objects could be read (2 network)"
    )


def test_nothing_to_do_is_said_so() -> None:
    assert RunStats().summary() == "Nothing to do"


def test_counters_add_up_and_gone_objects_are_skipped_not_failed() -> None:
    stats = RunStats()
    stats.expect(3)
    stats.add(
        [outcome("a"), outcome("b", ErrorCode.NOT_FOUND), unsupported("c")], gone=frozenset({"b"})
    )
    counters = stats.counters()
    assert (counters["succeeded"], counters["failed"], counters["skipped"]) == (1, 0, 2)
    assert counters["processed_files"] == counters["total_files"] == 3


def test_total_grows_with_objects_that_turned_up_after_the_count() -> None:
    stats = RunStats()
    stats.expect(1)
    stats.add([outcome("a"), outcome("b")])
    assert stats.counters()["total_files"] == 2


def test_a_total_is_settled_to_what_was_processed() -> None:
    stats = RunStats()
    stats.expect(3)
    assert stats.settle()
    assert not stats.settle(), "it is settled"
    assert (stats.total, stats.summary()) == (0, "Nothing to do")


def test_a_retried_run_goes_on_counting() -> None:
    before = EnrichRun(id="r", bucket="b", succeeded=5, failed=1, skipped=2, bytes_read=10)
    stats = RunStats(before=before)
    stats.expect(2)
    stats.add([outcome("a"), outcome("b")])
    assert stats.counters()["processed_files"] == stats.counters()["total_files"] == 10
    assert stats.counters()["succeeded"] == 7
    assert stats.summary().startswith("7 enriched, 1 failed, 2 unsupported before a retry of 10")


@pytest.mark.parametrize(
    ("enriched", "codes", "fails"),
    [
        (0, [], False),
        (90, [ErrorCode.CORRUPT] * 10, False),  # exactly the threshold
        (89, [ErrorCode.CORRUPT] * 11, True),
        (1, [ErrorCode.CORRUPT] * 9, False),  # under the minimum
        (0, [ErrorCode.CORRUPT], False),  # one new bad file does not fail a nightly run
        (0, [ErrorCode.NETWORK], True),  # an outage does
        (1, [ErrorCode.NETWORK], False),
    ],
)
def test_verdict(enriched: int, codes: list[ErrorCode], fails: bool) -> None:
    reason = stats_of(enriched, *codes).failure_reason(threshold=0.1, minimum=10)
    assert (reason is not None) is fails
    if reason:
        assert codes[0] in reason


def test_the_share_is_of_all_objects_looked_at_so_far() -> None:
    rest = stats_of(629, *[ErrorCode.CORRUPT] * 71)  # after 300 by a run that was cancelled
    assert rest.failure_reason(threshold=0.1, minimum=10, seen_so_far=lambda: 1_000) is None
    assert (
        rest.failure_reason(threshold=0.1, minimum=10, seen_so_far=lambda: 705)
        == "10% failed, more than the 10% allowed (71 of the 705 objects processed so far: "
        "71 corrupt)"
    )


def test_samples_are_bounded() -> None:
    stats = stats_of(0, *[ErrorCode.CORRUPT] * 100)
    assert stats.failures == {"corrupt": 100}
    assert len(stats.samples["corrupt"]) == 5


class TestPace:
    def run(self, **columns: Any) -> EnrichRun:
        now = datetime.now(UTC)
        usual: dict[str, Any] = {
            "status": RunStatus.RUNNING,
            "started_at": now - timedelta(seconds=10),
            "total_files": 100,
            "processed_files": 50,
        }
        return EnrichRun(id="a-run", bucket="photos", **(usual | columns))

    def test_what_is_left_takes_as_long_as_what_is_done_did(self) -> None:
        found = speed_of(self.run())

        assert found.objects_per_second == pytest.approx(5, rel=0.1)
        assert found.seconds_left == pytest.approx(10, rel=0.1)

    def test_it_is_unknown_before_the_first_object(self) -> None:
        assert speed_of(self.run(processed_files=0)) == RunSpeed(None, None)
        assert speed_of(self.run(started_at=None)) == RunSpeed(None, None)

    def test_an_ended_run_has_nothing_left_and_keeps_its_speed(self) -> None:
        ended = self.run(status=RunStatus.CANCELLED)
        ended.finished_at = ended.started_at and ended.started_at + timedelta(seconds=5)

        found = speed_of(ended)

        assert (found.objects_per_second, found.seconds_left) == (10, None)
