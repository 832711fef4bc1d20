"""Fetch the next item of an iterator while the present one is used: a round trip is not waited for.

The thread is a daemon, one for each item, so a run that is interrupted does not wait for an answer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextvars import copy_context
from queue import SimpleQueue
from typing import TypeVar

_Item = TypeVar("_Item")


def prefetched(items: Iterator[_Item]) -> Iterator[_Item]:
    """Yield the items of an iterator, always one ahead.

    Args:
        items: yields no None. It is used by one thread at a time, with the context of the caller.

    Raises:
        BaseException: whatever `items` raises, after the items before.
    """
    ahead = _begin(items)
    while (item := _finish(ahead)) is not None:
        ahead = _begin(items)
        yield item


_Ahead = SimpleQueue[tuple[_Item | None, BaseException | None]]


def _begin(items: Iterator[_Item]) -> _Ahead[_Item]:
    """Start to fetch the next item, or the None at the end."""
    ahead: _Ahead[_Item] = SimpleQueue()

    def fetch() -> None:
        try:
            ahead.put((next(items, None), None))
        except BaseException as error:  # noqa: BLE001 - raised where the item is wanted
            ahead.put((None, error))

    context = copy_context()
    threading.Thread(target=context.run, args=(fetch,), name="prefetch", daemon=True).start()
    return ahead


def _finish(ahead: _Ahead[_Item]) -> _Item | None:
    item, error = ahead.get()
    if error is not None:
        raise error
    return item
