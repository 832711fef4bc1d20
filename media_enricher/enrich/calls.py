"""A caller's side of the pool: what it asked for, and what has come back."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import count

from media_enricher.models import Depth, Outcome, StorageObject


class PoolClosed(Exception):  # noqa: N818 - it is no error: someone asked the pool to stop
    """The pool was closed, before or while it was working on this."""


class Call:
    """One `enrich()`: its objects, and their outcomes as they come, in any order.

    The caller waits in its own thread; one other thread finishes it.
    """

    def __init__(self, objects: Sequence[StorageObject], depth: Depth) -> None:
        self.objects = objects
        self.depth = depth
        self.is_abandoned = False
        self._outcomes: list[Outcome | None] = [None] * len(objects)
        self._left = len(objects)
        self._error: Exception | None = None
        self._done = threading.Event()

    def finish(self, index: int, outcome: Outcome) -> None:
        """Note the outcome of one object; the last one frees the caller."""
        if self._outcomes[index] is None:
            self._outcomes[index] = outcome
            self._left -= 1
            if not self._left:
                self._done.set()

    @property
    def is_done(self) -> bool:
        """Whether the caller has been freed."""
        return self._done.is_set()

    def fail(self, error: Exception) -> None:
        """Free the caller with an error, unless it has all it asked for."""
        if not self._done.is_set():
            self._error = error
            self._done.set()

    def wait(self) -> list[Outcome]:
        """Block until every object has its outcome, and return them in the order asked.

        Raises:
            PoolClosed: or whatever else `fail` was given.
        """
        try:
            self._done.wait()
        except BaseException:  # Ctrl-C in the caller: nobody is waiting for the rest any more
            self.is_abandoned = True
            raise
        if self._error is not None:
            raise self._error
        return [outcome for outcome in self._outcomes if outcome is not None]


_ticket_numbers = count(1)  # 0 is "nothing" in a lane's mark


class Ticket:
    """One object's place in a call, while it waits or is in a lane's hands."""

    __slots__ = ("call", "cost", "deaths", "index", "number")

    def __init__(self, call: Call, index: int, cost: float) -> None:
        self.number = next(_ticket_numbers)
        self.call = call
        self.index = index
        self.cost = cost
        """Seconds of a lane's work, roughly: to share the work out evenly."""
        self.deaths = 0
        """Lanes that died while they held this object."""

    @property
    def object(self) -> StorageObject:
        """The object itself."""
        return self.call.objects[self.index]

    def renumber(self) -> None:
        """Take a new number, for a new try."""
        self.number = next(_ticket_numbers)
