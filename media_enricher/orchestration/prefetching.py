"""Fetch the next items of an iterator while the present one is used: no round trip is waited for.

The thread is a daemon, so a run that is interrupted does not wait for an answer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Generic, Self, TypeVar

_Item = TypeVar("_Item")


class Prefetched(Iterator[_Item], Generic[_Item]):
    """The items of an iterator, which a thread fetches.

    If it is left before its last item, call `stop`: the thread would wait for ever.
    """

    def __init__(self, items: Iterator[_Item], *, ahead: int) -> None:
        """Start the thread.

        Args:
            items: yields no None. It is used by that thread alone, with the context of the caller.
            ahead: so many items at most are there before they are wanted.
        """
        self._items = items
        self._fetched: SimpleQueue[tuple[_Item | None, BaseException | None]] = SimpleQueue()
        self._room = threading.Semaphore(ahead)
        self._is_left = False
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._fetch,), name="prefetch", daemon=True
        )
        self._thread.start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _Item:
        """Wait for the next item.

        Raises:
            BaseException: whatever the iterator raised, after the items before.
        """
        item, error = self._fetched.get()
        if item is not None:
            self._room.release()
            return item
        self._fetched.put((item, error))  # so the end stays the end
        raise error if error is not None else StopIteration

    def next_within(self, seconds: float) -> _Item | None:
        """The next item; None if it has to be waited for longer, or there is none."""
        try:
            item, error = self._fetched.get(timeout=max(0.0, seconds))
        except Empty:
            return None
        if item is None:
            self._fetched.put((item, error))  # for who waits for the next item
            return None
        self._room.release()
        return item

    def stop(self) -> None:
        """Fetch no more than what is being fetched."""
        self._is_left = True
        self._room.release()

    def wait(self) -> None:
        """Wait until nothing is being fetched any more, after the last item or `stop`."""
        self._thread.join()

    def _fetch(self) -> None:
        try:
            while self._room.acquire() and not self._is_left:
                item = next(self._items, None)
                self._fetched.put((item, None))
                if item is None:
                    return
        except BaseException as error:  # noqa: BLE001 - raised where the item is wanted
            self._fetched.put((None, error))


def prefetched(items: Iterator[_Item], *, ahead: int) -> Iterator[_Item]:
    """Yield the items of an iterator, which a thread fetches until this generator is closed.

    The arguments and errors are those of `Prefetched`.
    """
    fetched = Prefetched(items, ahead=ahead)
    try:
        yield from fetched
    finally:
        fetched.stop()
