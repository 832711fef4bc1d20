"""Counting what a run has to do while its first batches are in work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from media_enricher.models import Selection


class Counting:
    """A count that goes on in a thread of its own, and the ranges of paths that it has counted.

    A range is handed out only after it was counted, and what was read is written only after the
    first count was recorded. So an object that the run has already processed is never counted too
    late, as no longer pending, and the total is never below what is processed.
    """

    def __init__(self, count: Callable[[Counting], object]) -> None:
        """Prepare the count; the context starts it.

        Args:
            count: counts, calls `hand_out` for each range with pending objects, `let_write` once
                its first count is recorded, and returns early if `is_stopped`. It runs in the
                context of the thread that starts it, so it may be a task of Prefect.
        """
        self._count = count
        self._counted: SimpleQueue[Selection | None] = SimpleQueue()  # None: that was all
        self._stopped = threading.Event()
        self._writable = threading.Event()
        self._has_recorded = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._run,), name="counting", daemon=True
        )

    @property
    def is_stopped(self) -> bool:
        """Whether nobody needs the count any more: the run ends."""
        return self._stopped.is_set()

    def hand_out(self, counted: Selection) -> None:
        """Let the run begin with a range."""
        self._counted.put(counted)

    def let_write(self) -> None:
        """Let the run write what it has read: the first count is recorded."""
        self._has_recorded = True
        self._writable.set()

    def wait_until_writable(self) -> None:
        """Wait until the first count is recorded.

        Raises:
            Exception: what the count failed with before that.
        """
        self._writable.wait()
        if self._error is not None and not self._has_recorded:
            raise self._error

    def ranges(self) -> Iterator[Selection]:
        """Yield the ranges with pending objects, in the order in which they are counted.

        Raises:
            Exception: what the count failed with, after the ranges that it had counted before.
        """
        while (counted := self._counted.get()) is not None:
            yield counted
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Stop counting, and wait for the statement that is being executed.

        Raises:
            Exception: what the count failed with, if the run itself did not fail.
        """
        if kind is None:  # a run may end before its last range: it has a limit
            self._thread.join()
        self._stopped.set()
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._count(self)
        except BaseException as error:  # noqa: BLE001  # handed to the run, which fails with it
            self._error = error
        finally:
            self._counted.put(None)
            self._writable.set()
