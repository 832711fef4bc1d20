"""The callers' side of the engine: what they asked for, and the outcomes that came back."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import count

from media_enricher.engine.allowance import Allowance
from media_enricher.models import Depth, Outcome, StorageObject


class PoolClosed(Exception):  # noqa: N818 - it is no error: someone asked the pool to stop
    """The pool was closed, before or while it worked on this."""


class Caller:
    """A caller of `EnrichPool.enrich`. It waits in its own thread for outcomes of other threads.

    Attributes:
        refused: the positions of objects that the allowance has no room for.
    """

    def __init__(self, objects: int) -> None:
        """`objects` is how many outcomes it waits for."""
        self.refused: set[int] = set()
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

    def refuse(self, position: int) -> None:
        """Note that an object will get no outcome, because the allowance has no room for it."""
        with self._changed:
            self.refused.add(position)
            self._left -= 1
            if not self._left:
                self._changed.notify()

    def fail(self, error: Exception) -> None:
        """Raise an error in the caller's thread, unless all outcomes are there."""
        with self._changed:
            if self._left:
                self._error = error
                self._changed.notify()

    def wait(self, grace_seconds: float | None) -> list[Outcome | None]:
        """Block until every object has its outcome, and return them in the order asked.

        With `grace_seconds`, wait only that long after the first outcome that is not a transient
        failure. The objects that are still in work then have None, as have those in `refused`.

        Raises:
            PoolClosed: or whatever else `fail` was given.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._error or not self._left or (self._has_something and grace_seconds)
            )
            self._changed.wait_for(lambda: self._error or not self._left, grace_seconds)
            if self._error is not None:
                raise self._error
            return list(self._outcomes)


class EnrichRequest:
    """Objects that were given to the workers together, and their outcomes, in any order.

    Each outcome goes to the caller that waits for it when it comes: the first that asked, or a
    later one that asks for the same object. If nobody waits, it is stored. Thread-safe.
    """

    def __init__(
        self,
        objects: Sequence[StorageObject],
        depth: Depth,
        caller: Caller,
        positions: Sequence[int],
        allowance: Allowance | None = None,
    ) -> None:
        """The outcomes are for this caller, at these positions of what it asked for.

        The allowance is for the thread that hands the objects out.
        """
        self.objects = objects
        self.depth = depth
        self.allowance = allowance
        self.is_abandoned = False
        self._refused: set[int] = set()
        self._outcomes: list[Outcome | None] = [None] * len(objects)
        self._receivers = {index: (caller, at) for index, at in enumerate(positions)}
        self._left = len(objects)
        self._error: Exception | None = None
        self._lock = threading.Lock()

    @property
    def is_done(self) -> bool:
        """Whether no more outcomes will come."""
        return not self._left or self._error is not None

    def send_to(self, caller: Caller, index: int, position: int) -> None:
        """Send the outcome of one object to a caller, as the `position`th that it asked for."""
        with self._lock:
            outcome, is_refused = self._outcomes[index], index in self._refused
            if outcome is None and not is_refused and self._error is None:
                self._receivers[index] = (caller, position)
                return
        if is_refused:
            caller.refuse(position)
        elif outcome is not None:
            caller.take(position, outcome)
        elif self._error is not None:
            caller.fail(self._error)

    def store(self, index: int) -> None:
        """Store the outcome of one object until a caller asks for it: nobody waits any more."""
        with self._lock:
            self._receivers.pop(index, None)

    def finish(self, index: int, outcome: Outcome) -> None:
        """Note the outcome of one object."""
        with self._lock:
            if self._outcomes[index] is not None:
                return
            self._outcomes[index] = outcome
            self._left -= 1
            receiver = self._receivers.pop(index, None)
        if receiver is not None:
            caller, position = receiver
            caller.take(position, outcome)

    def refuse(self, index: int) -> None:
        """Note that one object is not begun, because the allowance has no room for it."""
        with self._lock:
            self._refused.add(index)
            self._left -= 1
            receiver = self._receivers.pop(index, None)
        if receiver is not None:
            caller, position = receiver
            caller.refuse(position)

    def fail(self, error: Exception) -> None:
        """Raise an error in all callers that wait."""
        with self._lock:
            if self.is_done:
                return
            self._error = error
            callers = {id(caller): caller for caller, _ in self._receivers.values()}
            self._receivers.clear()
        for caller in callers.values():
            caller.fail(error)


_item_numbers = count(1)


class WorkItem:
    """One object of a request, while it is queued or a worker holds it.

    Attributes:
        number: names this try of it; never 0.
        cost: seconds of a worker's time, roughly: to share the work out evenly.
        deaths: workers that died while they held this object.
        reserved: bytes of the request's allowance that are reserved for it.
    """

    __slots__ = ("cost", "deaths", "index", "number", "request", "reserved")

    def __init__(self, request: EnrichRequest, index: int, cost: float) -> None:
        self.number = next(_item_numbers)
        self.request = request
        self.index = index
        self.cost = cost
        self.deaths = 0
        self.reserved = 0

    @property
    def object(self) -> StorageObject:
        """The object itself."""
        return self.request.objects[self.index]

    def renumber(self) -> None:
        """Take a new number, for a new try."""
        self.number = next(_item_numbers)
