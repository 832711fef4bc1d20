"""What is ahead is bounded, in the caller's context, and errors come in their turn."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from media_enricher.orchestration.prefetching import Prefetched, prefetched
from tests.waiting import wait_for

WHOSE = ContextVar("WHOSE", default="nobody's")


def test_the_next_item_is_fetched_while_one_is_used_and_no_more() -> None:
    fetched: list[int] = []

    def items() -> Iterator[int]:
        for number in range(7):
            fetched.append(number)
            yield number

    ahead = prefetched(items(), ahead=2)
    assert next(ahead) == 0
    wait_for(lambda: fetched == [0, 1, 2], "the next items are not fetched")
    assert next(ahead) == 1
    wait_for(lambda: fetched == [0, 1, 2, 3], "the next item is not fetched")
    assert [*ahead] == [2, 3, 4, 5, 6]


def test_nothing_more_is_fetched_for_who_has_left() -> None:
    threads = threading.active_count()
    ahead = prefetched(iter(range(100)), ahead=2)
    assert next(ahead) == 0
    ahead.close()  # type: ignore[attr-defined]
    wait_for(lambda: threading.active_count() <= threads, "the thread goes on")


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no second one")

    ahead = prefetched(items(), ahead=1)
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="no second one"):
        next(ahead)


def test_it_works_in_the_callers_context_and_in_another_thread() -> None:
    def items() -> Iterator[tuple[str, bool]]:
        yield WHOSE.get(), threading.current_thread() is threading.main_thread()

    token = WHOSE.set("the caller's")
    try:
        assert [*prefetched(items(), ahead=1)] == [("the caller's", False)]
    finally:
        WHOSE.reset(token)


def test_what_is_not_there_is_not_waited_for() -> None:
    go_on = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        go_on.wait()
        yield 2

    ahead = Prefetched(items(), ahead=2)
    wait_for(lambda: ahead.next_within(0) == 1, "the first item is not fetched")
    assert ahead.next_within(0) is None
    go_on.set()
    ahead.wait()
    assert ahead.next_within(0) == 2
    assert ahead.next_within(0) is None
    assert [*ahead] == [], "the end is still there for who waits for it"


def test_nothing_is_yielded_of_nothing() -> None:
    assert [*prefetched(iter(()), ahead=1)] == []
