"""What is ahead is one item, in the caller's context, and errors come in their turn."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from media_enricher.orchestration.prefetching import prefetched
from tests.waiting import wait_for

WHOSE = ContextVar("WHOSE", default="nobody's")


def test_the_next_item_is_fetched_while_one_is_used_and_no_more() -> None:
    fetched: list[int] = []

    def items() -> Iterator[int]:
        for number in range(5):
            fetched.append(number)
            yield number

    ahead = prefetched(items())
    assert next(ahead) == 0
    wait_for(lambda: fetched == [0, 1], "the second item is not fetched")
    assert [*ahead] == [1, 2, 3, 4]


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no second one")

    ahead = prefetched(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="no second one"):
        next(ahead)


def test_it_works_in_the_callers_context_and_in_another_thread() -> None:
    def items() -> Iterator[tuple[str, bool]]:
        yield WHOSE.get(), threading.current_thread() is threading.main_thread()

    token = WHOSE.set("the caller's")
    try:
        assert [*prefetched(items())] == [("the caller's", False)]
    finally:
        WHOSE.reset(token)


def test_nothing_is_yielded_of_nothing() -> None:
    assert [*prefetched(iter(()))] == []
