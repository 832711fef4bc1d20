"""The bounds of a run's batches, stored for the run that continues if this one is interrupted."""

from __future__ import annotations

from collections import deque

from media_enricher.batching import Batch
from media_enricher.orchestration import resources

_CALLS_UNTIL_WRITTEN = 2
"""Of `note`: outcomes wait while those before them are written, and are then written themselves."""


class Cuts:
    """The bounds of batches that are written in part, until they are written completely."""

    def __init__(self) -> None:
        """Start empty; nothing is read from the database."""
        self._bucket = ""
        self._new: set[str] = set()
        self._open: dict[tuple[str, str], set[str]] = {}
        self._done: deque[set[str]] = deque(set() for _ in range(_CALLS_UNTIL_WRITTEN + 1))

    def follow(self, batch: Batch, rest: Batch | None) -> None:
        """Remember the bounds of a batch if only some of it is about to be written."""
        bounds = (batch.after, batch.until)
        if rest is None:
            self._done[-1] |= self._open.pop(bounds, set())
        elif bounds not in self._open:
            self._bucket = batch.objects[0].bucket
            self._open[bounds] = batch.bounds()
            self._new |= batch.bounds()

    def note(self) -> None:
        """Store the bounds for the next run. Call this before the batches are written in part.

        Bounds of complete batches are deleted two calls later, when their last members are written.

        Raises:
            SupabaseError: the database did not accept them, after retries.
        """
        still_open = set().union(*self._open.values())
        done = self._done.popleft() - still_open
        if self._new or done:
            resources.asset_table().note_cuts(self._bucket, self._new, done)
        self._new = set()
        self._done.append(set())
