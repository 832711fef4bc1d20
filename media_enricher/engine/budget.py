"""Limits the bytes of objects that a worker holds at once."""

from __future__ import annotations

import asyncio
from collections import deque


class ByteBudget:
    """A semaphore that counts bytes. First come, first served, so no large object starves.

    An object larger than the whole budget is let through alone.

    For one event loop; not thread-safe.
    """

    def __init__(self, total: int) -> None:
        """`total` is the bytes that may be held at once; at least 1."""
        self._total = total
        self._free = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def held(self) -> int:
        """The bytes held now. Never more than the total."""
        return self._total - self._free

    async def acquire(self, size: int) -> int:
        """Wait until there is room for `size` bytes. Returns what to `release` later."""
        share = min(size, self._total)
        if not self._waiting and share <= self._free:
            self._free -= share
            return share
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((share, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(share)
            raise
        return share

    def release(self, share: int) -> None:
        """Give back what `acquire` returned."""
        self._free += share
        while self._waiting and self._waiting[0][0] <= self._free:
            share, turn = self._waiting.popleft()
            if not turn.done():
                self._free -= share
                turn.set_result(None)
