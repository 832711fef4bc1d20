"""The bounds of a run's batches, stored for the run that continues if this one is interrupted."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue

from media_enricher.batching import Batch
from media_enricher.orchestration import resources
from media_enricher.orchestration.background import in_background


class Cuts:
    """The bounds of batches that are written in part, until they are written completely.

    One thread calls `follow` and `note`, another one `written` and `wait`. The bounds are
    stored in the background, so that a far database is waited for only before outcomes are written
    of a batch whose bounds are new.
    """

    def __init__(self) -> None:
        """Start empty; nothing is read from the database."""
        self._bucket = ""
        self._new: set[str] = set()
        self._open: dict[tuple[str, str], set[str]] = {}
        self._read: set[str] = set()
        self._unwritten: deque[set[str]] = deque()
        self._written: SimpleQueue[set[str]] = SimpleQueue()
        self._storing: Future[None] | None = None

    def follow(self, batch: Batch, rest: Batch | None) -> None:
        """Remember the bounds of a batch if only some of it is about to be written."""
        bounds = (batch.after, batch.until)
        if rest is None:
            self._read |= self._open.pop(bounds, set())
        elif bounds not in self._open:
            self._bucket = batch.objects[0].bucket
            self._open[bounds] = batch.bounds()
            self._new |= batch.bounds()

    def note(self) -> Future[None] | None:
        """Store the bounds for the next run, and delete those of batches that are written.

        Call this before outcomes are handed over to be written.

        Returns:
            What must have returned before they are written; None if there is no new bound.
        """
        done: set[str] = set()
        while not self._written.empty():
            done |= self._written.get()
        done -= set().union(*self._open.values())
        new, self._new = self._new, set()
        if new or done:
            store = partial(self._store, self._storing, new, done)
            self._storing = in_background(store, name="batch cuts")
        self._unwritten.append(self._read)
        self._read = set()
        return self._storing if new else None

    def written(self) -> None:
        """The outcomes are written of the first call of `note` for which that was not said yet."""
        self._written.put(self._unwritten.popleft())

    def wait(self) -> None:
        """Wait until all that was noted is stored.

        Raises:
            SupabaseError: the database did not accept it, after retries.
        """
        if self._storing is not None:
            self._storing.result()

    def _store(
        self, before: Future[None] | None, new: Collection[str], done: Collection[str]
    ) -> None:
        if before is not None:
            before.result()
        resources.asset_table().note_cuts(self._bucket, new, done)
