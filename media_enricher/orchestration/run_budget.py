"""How many bytes a run may still read: lends them to its batches, and says what became of them.

The engine keeps to what a batch was lent (`engine.allowance` has the rule), so this works wherever
batches are processed. The boundaries of batches do not depend on it: the same pending objects make
the same batches with any budget, and their results are found in the cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from media_enricher.batching import Batch
from media_enricher.engine.allowance import Allowance, extent_of, extent_of_all
from media_enricher.models import Depth, StorageObject
from media_enricher.orchestration import resources


class RunBudget:
    """The bytes that a run may read.

    Attributes:
        left_out: objects that were not read because each needs more than the whole budget.
        is_used_up: whether the run ended because the next object does not fit.
    """

    def __init__(self, max_bytes: int, read_before: int) -> None:
        """Start with what the attempts before a retry of the run left of it.

        Args:
            max_bytes: the bytes that the run may read.
            read_before: the bytes that earlier attempts at it have read.
        """
        self._max_bytes = max_bytes
        self._allowance = Allowance(max_bytes - read_before)
        self._max_whole_bytes = resources.engine_options().max_whole_bytes
        self._example: StorageObject | None = None
        self.left_out = 0
        self.is_used_up = False

    @property
    def has_held_back(self) -> bool:
        """Whether objects are still pending that the run would have read without a budget."""
        return self.is_used_up or self.left_out > 0

    def affordable(self, objects: Iterable[StorageObject], depth: Depth) -> Iterator[StorageObject]:
        """Leave out objects that the whole budget has no room for: no run with it would read them.

        Without this, the first of them would end this run and every later one.
        """
        for each in objects:
            extent = extent_of(each, depth, max_whole_bytes=self._max_whole_bytes)
            if extent.least <= self._max_bytes:
                yield each
            else:
                self.left_out += 1
                self._example = self._example or each

    def lend(self, batch: Batch) -> bool:
        """Give a batch its allowance. False if there is no room before others have been read."""
        extent = extent_of_all(batch.untried(), batch.depth, max_whole_bytes=self._max_whole_bytes)
        batch.allowance = self._allowance.reserve(extent)
        if batch.allowance is None:
            self.is_used_up = self._allowance.is_idle
        return batch.allowance is not None

    def take_back(self, batch: Batch, read: int) -> None:
        """Settle what a batch was lent, which has ended and has read so many bytes of it."""
        self._allowance.settle(batch.allowance or 0, read)
        batch.allowance = None

    def summary(self) -> str:
        """What the budget kept the run from, for people; empty if it did not."""
        said = []
        if self.is_used_up:
            said.append(f"stopped by max_bytes = {self._max_bytes:,}")
        if self._example is not None:
            said.append(
                f"left out {self.left_out:,} of which each needs more than max_bytes = "
                f"{self._max_bytes:,}, the first is {self._example.path!r}"
            )
        return "; ".join(said)


def split_bytes(max_bytes: int, weights: Sequence[int]) -> Iterator[int]:
    """Split a budget by weights, exactly, but for parts of nothing: each part is at least 1 byte.

    A part that is too small for an object is used up at once, and says so.
    """
    total = sum(weights)
    weight_so_far = given = 0
    for weight in weights:
        weight_so_far += weight
        until = max_bytes * weight_so_far // total if total else max_bytes
        yield max(1, until - given)
        given = until
