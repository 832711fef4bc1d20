"""Fetch the next items of an iterator while the present one is used: no round trip is waited for.

The thread is a daemon, so a run that is interrupted does not wait for an answer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextvars import copy_context
from queue import SimpleQueue
from typing import TypeVar

_Item = TypeVar("_Item")


def prefetched(items: Iterator[_Item], *, ahead: int) -> Iterator[_Item]:
    """Yield the items of an iterator, which a thread fetches.

    Args:
        items: yields no None. It is used by that thread alone, with the context of the caller.
        ahead: so many items at most are there before they are wanted.

    Raises:
        BaseException: whatever `items` raises, after the items before.
    """
    fetched: SimpleQueue[tuple[_Item | None, BaseException | None]] = SimpleQueue()
    room = threading.Semaphore(ahead)
    is_left = threading.Event()

    def fetch() -> None:
        try:
            while room.acquire() and not is_left.is_set():
                item = next(items, None)
                fetched.put((item, None))
                if item is None:
                    return
        except BaseException as error:  # noqa: BLE001 - raised where the item is wanted
            fetched.put((None, error))

    context = copy_context()
    threading.Thread(target=context.run, args=(fetch,), name="prefetch", daemon=True).start()
    try:
        while True:
            item, error = fetched.get()
            if error is not None:
                raise error
            if item is None:
                return
            room.release()
            yield item
    finally:
        is_left.set()
        room.release()
