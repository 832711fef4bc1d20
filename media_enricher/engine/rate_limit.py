"""Limits the rate at which the engine workers of a run read, all together.

The workers share one number: the time at which all bytes that were read so far would have arrived
at exactly the limit (the virtual scheduling algorithm of ITU-T I.371, a token bucket without a
bucket). Whoever has read some bytes moves it on by what they take, and waits until it has passed.
So turns are taken in the order in which bytes arrive, and a worker with nothing to do leaves its
turns to the others. Reading no further holds up the sender, by TCP's flow control.
"""

from __future__ import annotations

import asyncio
import fcntl
import mmap
import os
import struct
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

_MOMENT = struct.Struct("=d")
CATCH_UP_SECONDS = 0.5
"""What a stall of the machine cost may be made up for: what that many seconds read at most."""


class SharedMoment:
    """A moment of the monotonic clock in memory that processes share; the same for all of them.

    Attributes:
        descriptor: to be inherited by the processes that share it.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, _MOMENT.size)

    @classmethod
    def create(cls, moment: float) -> SharedMoment:
        """Make the memory."""
        descriptor = os.memfd_create("media-enricher-rate")
        os.ftruncate(descriptor, _MOMENT.size)
        shared = cls(descriptor)
        _MOMENT.pack_into(shared._memory, 0, moment)
        return shared

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from changing it. The kernel frees the lock of one that dies."""
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN)

    @property
    def value(self) -> float:
        """The moment, in seconds."""
        moment: float = _MOMENT.unpack_from(self._memory)[0]
        return moment

    @value.setter
    def value(self, moment: float) -> None:
        _MOMENT.pack_into(self._memory, 0, moment)

    def close(self) -> None:
        """Free this process's hold on it."""
        self._memory.close()
        os.close(self.descriptor)


class RateLimit:
    """Lets bytes be read at a limited rate. For the event loop of one of the processes."""

    def __init__(
        self,
        shared: SharedMoment,
        bytes_per_second: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Read nothing yet.

        Args:
            shared: what all processes under the same limit share.
            bytes_per_second: the limit for all of them together.
            clock: the clock of the shared moment.
            sleep: waits for so many seconds of that clock.
        """
        self._shared = shared
        self._bytes_per_second = bytes_per_second
        self._clock = clock
        self._sleep = sleep

    async def received(self, count: int) -> None:
        """Count bytes that were read, and wait until more may be."""
        wait = self._take(count)
        if wait > 0:
            await self._sleep(wait)

    def _take(self, count: int) -> float:
        """Count bytes; return the seconds after which they would have arrived at the limit."""
        with self._shared.locked():
            now = self._clock()
            begin = max(self._shared.value, now - CATCH_UP_SECONDS)
            end = begin + count / self._bytes_per_second
            self._shared.value = end
        return end - now
