"""Where a run's batches end, kept for the run that has to go on if this one is interrupted."""

from __future__ import annotations

from media_enricher.batching import Batch
from media_enricher.orchestration import resources


class Cuts:
    """The bounds of batches that are written in part, until they are written whole."""

    def __init__(self) -> None:
        """Nothing is known yet, nor asked."""
        self._bucket = ""
        self._new: set[str] = set()
        self._open: dict[tuple[str, str], set[str]] = {}
        self._done: set[str] = set()
        self._done_next: set[str] = set()

    def follow(self, batch: Batch, rest: Batch | None) -> None:
        """Take note of what is left of a batch of which some is about to be written."""
        bounds = (batch.after, batch.until)
        if rest is None:
            self._done_next |= self._open.pop(bounds, set())
        elif bounds not in self._open:
            self._bucket = batch.objects[0].bucket
            self._open[bounds] = batch.bounds()
            self._new |= batch.bounds()

    def note(self) -> None:
        """Put it where the next run finds it: before the batches are written in part.

        Those that are whole are forgotten one call later, when their last members are written.

        Raises:
            SupabaseError: the database does not take it, after retries.
        """
        kept = set().union(*self._open.values())
        done = self._done - kept
        if self._new or done:
            resources.asset_table().note_cuts(self._bucket, self._new, done)
        self._new = set()
        self._done, self._done_next = self._done_next, set()
