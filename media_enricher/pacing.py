"""A limit on how often something is done, whoever does it."""

from __future__ import annotations

import threading
import time


class Pacer:
    """Lets threads begin something so many times a second, one after the other, without bursts."""

    def __init__(self, per_second: float) -> None:
        """Begin with the first at once.

        Args:
            per_second: more than 0.
        """
        self._interval = 1 / per_second
        self._lock = threading.Lock()
        self._next = time.monotonic()

    def wait(self) -> None:
        """Wait for this thread's turn."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._interval
        time.sleep(turn - now)
