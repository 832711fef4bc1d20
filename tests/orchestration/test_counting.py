"""Counting while a run works: ranges come as they are counted, and no error is lost."""

from __future__ import annotations

import threading

import pytest

from media_enricher.models import Selection
from media_enricher.orchestration.counting import Counting
from tests.waiting import wait_for

RANGES = [Selection(bucket="b", after=after) for after in ("", "m")]


def test_the_first_range_is_there_before_the_last_is_counted() -> None:
    may_go_on = threading.Event()

    def count(counting: Counting) -> None:
        counting.hand_out(RANGES[0])
        may_go_on.wait()
        counting.hand_out(RANGES[1])

    with Counting(count) as counting:
        ranges = counting.ranges()
        assert next(ranges) is RANGES[0]
        may_go_on.set()
        assert list(ranges) == RANGES[1:]


def test_an_error_of_the_count_comes_after_what_it_has_counted() -> None:
    def count(counting: Counting) -> None:
        counting.hand_out(RANGES[0])
        raise ConnectionError("the database went away")

    handed_out: list[Selection] = []

    def take_all() -> None:
        with Counting(count) as counting:
            for each in counting.ranges():
                handed_out.append(each)  # those before the error count

    with pytest.raises(ConnectionError, match="went away"):
        take_all()
    assert handed_out == RANGES[:1]


def test_an_error_of_the_count_is_raised_though_the_run_has_all_it_wants() -> None:
    def count(counting: Counting) -> None:
        counting.hand_out(RANGES[0])
        raise ConnectionError("the database went away")

    with pytest.raises(ConnectionError, match="went away"), Counting(count) as counting:
        assert next(counting.ranges()) is RANGES[0]


def test_a_run_that_fails_stops_the_count_and_keeps_its_own_error() -> None:
    stopped = threading.Event()

    def count(counting: Counting) -> None:
        wait_for(lambda: counting.is_stopped, "the run to stop the count")
        stopped.set()

    with pytest.raises(ValueError, match="of the run"), Counting(count):
        raise ValueError("an error of the run")
    assert stopped.is_set(), "it was waited for"


def test_nothing_is_written_before_the_first_count_is_recorded() -> None:
    may_record = threading.Event()
    events: list[str] = []

    def count(counting: Counting) -> None:
        counting.hand_out(RANGES[0])
        may_record.wait()
        events.append("recorded")
        counting.let_write()
        counting.hand_out(RANGES[1])

    with Counting(count) as counting:
        ranges = counting.ranges()
        assert next(ranges) is RANGES[0], "it is read meanwhile"
        may_record.set()
        counting.wait_until_writable()
        events.append("written")
        assert list(ranges) == RANGES[1:]
    assert events == ["recorded", "written"]


def test_what_the_first_count_fails_with_is_raised_where_the_run_would_write() -> None:
    def count(counting: Counting) -> None:
        counting.hand_out(RANGES[0])
        raise ConnectionError("the snapshot cannot be written")

    with pytest.raises(ConnectionError, match="cannot be written"), Counting(count) as counting:
        counting.wait_until_writable()


def test_what_a_later_count_fails_with_does_not_keep_the_run_from_writing() -> None:
    def count(counting: Counting) -> None:
        counting.let_write()
        raise ConnectionError("the database went away")

    written: list[str] = []

    def write() -> None:
        with Counting(count) as counting:
            with pytest.raises(ConnectionError):
                next(counting.ranges())
            counting.wait_until_writable()
            written.append("what was read before")

    with pytest.raises(ConnectionError, match="went away"):
        write()
    assert written
