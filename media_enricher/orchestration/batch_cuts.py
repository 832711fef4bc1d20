"""The bounds of a run's batches, stored for the run that continues if this one is interrupted."""

from __future__ import annotations

from collections import deque
from queue import SimpleQueue

from media_enricher.batching import Batch
from media_enricher.orchestration import resources


class Cuts:
    """The bounds of batches that are written in part, until they are written completely.

    One thread calls `follow` and `note`, another one `written`.
    """

    def __init__(self) -> None:
        """Start empty; nothing is read from the database."""
        self._bucket = ""
        self._new: set[str] = set()
        self._open: dict[tuple[str, str], set[str]] = {}
        self._read: set[str] = set()
        self._unwritten: deque[set[str]] = deque()
        self._written: SimpleQueue[set[str]] = SimpleQueue()

    def follow(self, batch: Batch, rest: Batch | None) -> None:
        """Remember the bounds of a batch if only some of it is about to be written."""
        bounds = (batch.after, batch.until)
        if rest is None:
            self._read |= self._open.pop(bounds, set())
        elif bounds not in self._open:
            self._bucket = batch.objects[0].bucket
            self._open[bounds] = batch.bounds()
            self._new |= batch.bounds()

    def note(self) -> None:
        """Store the bounds for the next run, and delete those of batches that are written.

        Call this before outcomes are handed over to be written.

        Raises:
            SupabaseError: the database did not accept them, after retries.
        """
        done: set[str] = set()
        while not self._written.empty():
            done |= self._written.get()
        done -= set().union(*self._open.values())
        if self._new or done:
            resources.asset_table().note_cuts(self._bucket, self._new, done)
        self._unwritten.append(self._read)
        self._new, self._read = set(), set()

    def written(self) -> None:
        """The outcomes are written of the first call of `note` for which that was not said yet."""
        self._written.put(self._unwritten.popleft())
