"""The callers' side of the pool: what they asked for, and what has come back."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import count

from media_enricher.models import Depth, Outcome, StorageObject


class PoolClosed(Exception):  # noqa: N818 - it is no error: someone asked the pool to stop
    """The pool was closed, before or while it was working on this."""


class Caller:
    """Who waits in `enrich()`, in its own thread, for outcomes that other threads bring."""

    def __init__(self, objects: int) -> None:
        """`objects` is how many outcomes there are to be."""
        self._outcomes: list[Outcome | None] = [None] * objects
        self._left = objects
        self._has_something = False
        self._error: Exception | None = None
        self._changed = threading.Condition()

    def take(self, position: int, outcome: Outcome) -> None:
        """Note an outcome."""
        with self._changed:
            self._outcomes[position] = outcome
            self._left -= 1
            is_first = not self._has_something and not outcome.is_transient_failure
            self._has_something = self._has_something or is_first
            if is_first or not self._left:
                self._changed.notify()

    def fail(self, error: Exception) -> None:
        """Free the caller with an error, unless it has all it asked for."""
        with self._changed:
            if self._left:
                self._error = error
                self._changed.notify()

    def wait(self, patience: float | None) -> list[Outcome | None]:
        """Block until every object has its outcome, and return them in the order asked.

        Or, once one has an outcome that is more than a failure for now, for `patience` seconds
        more; those that are still under way have none then.

        Raises:
            PoolClosed: or whatever else `fail` was given.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._error or not self._left or (self._has_something and patience)
            )
            self._changed.wait_for(lambda: self._error or not self._left, patience)
            if self._error is not None:
                raise self._error
            return list(self._outcomes)


class Call:
    """Objects that were handed to the lanes together, and their outcomes, in any order.

    Each outcome is for whoever waits for it when it comes: the caller that asked first, or a later
    one that asks for the same object. Without one, it is kept. Thread-safe.
    """

    def __init__(
        self,
        objects: Sequence[StorageObject],
        depth: Depth,
        caller: Caller,
        positions: Sequence[int],
    ) -> None:
        """The outcomes of the objects are for this caller, at these positions of what it asked."""
        self.objects = objects
        self.depth = depth
        self.is_abandoned = False
        self._outcomes: list[Outcome | None] = [None] * len(objects)
        self._takers = {index: (caller, at) for index, at in enumerate(positions)}
        self._left = len(objects)
        self._error: Exception | None = None
        self._lock = threading.Lock()

    @property
    def is_done(self) -> bool:
        """Whether nothing more is to come."""
        return not self._left or self._error is not None

    def bring(self, index: int, caller: Caller, position: int) -> None:
        """Have the outcome of one object brought to a caller, as its `position`th."""
        with self._lock:
            outcome = self._outcomes[index]
            if outcome is None and self._error is None:
                self._takers[index] = (caller, position)
                return
        if outcome is not None:
            caller.take(position, outcome)
        elif self._error is not None:
            caller.fail(self._error)

    def keep(self, index: int) -> None:
        """Keep the outcome of one object until somebody asks for it: nobody waits any more."""
        with self._lock:
            self._takers.pop(index, None)

    def finish(self, index: int, outcome: Outcome) -> None:
        """Note the outcome of one object."""
        with self._lock:
            if self._outcomes[index] is not None:
                return
            self._outcomes[index] = outcome
            self._left -= 1
            taker = self._takers.pop(index, None)
        if taker is not None:
            caller, position = taker
            caller.take(position, outcome)

    def fail(self, error: Exception) -> None:
        """Free whoever waits with an error."""
        with self._lock:
            if self.is_done:
                return
            self._error = error
            callers = {id(caller): caller for caller, _ in self._takers.values()}
            self._takers.clear()
        for caller in callers.values():
            caller.fail(error)


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
