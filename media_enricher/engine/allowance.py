"""How many bytes of objects may still be read, and whether the next one may therefore be begun.

The rule stands here alone. A run applies it to its batches (`orchestration.run_budget`), and the
engine to the objects of a batch (`worker_pool`).

How much a look at an object reads is known in advance only within bounds: at depth `header`, and of
objects that are too large to be read whole, the probe asks for more as it goes. So what is begun
reserves the most that it may read, and gives back what it did not. Where that is more than is left,
it may still be begun alone, if the least that it reads fits. Objects are begun in their order, so
reading ends less than one object's size away from the limit. Bytes that had to be read again,
because a download broke off, come on top.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from media_enricher.models import MOST_RANGE_BYTES, Depth, StorageObject
from media_enricher.probe import first_range


class Extent(NamedTuple):
    """The bounds of what is read of an object, or of several, in bytes."""

    least: int
    most: int


def extent_of(source: StorageObject, depth: Depth, *, max_whole_bytes: int) -> Extent:
    """How much of an object is read.

    Args:
        source: the object as it is listed.
        depth: how deep the look is.
        max_whole_bytes: a larger object is read in parts at depth `full`, too.
    """
    size, first = source.size_bytes, first_range(source.path, source.declared_content_type)
    is_full = depth is Depth.FULL
    if size is None:
        return Extent(first, max_whole_bytes if is_full else MOST_RANGE_BYTES)
    if is_full and size <= max_whole_bytes:
        return Extent(size, size)
    return Extent(min(size, first), min(size, MOST_RANGE_BYTES))


def extent_of_all(
    objects: Iterable[StorageObject], depth: Depth, *, max_whole_bytes: int
) -> Extent:
    """How much is read of several objects, of which at least the first is begun."""
    extents = [extent_of(each, depth, max_whole_bytes=max_whole_bytes) for each in objects]
    return Extent(extents[0].least if extents else 0, sum(each.most for each in extents))


class Allowance:
    """A number of bytes that may be read. Not thread-safe.

    Attributes:
        left: bytes that are neither read nor reserved. Below zero if more was read than reserved.
        has_refused: whether something was not begun because it did not fit.
    """

    def __init__(self, limit: int) -> None:
        self.left = limit
        self.has_refused = False
        self._under_way = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way, so that waiting would make no more room."""
        return not self._under_way

    def reserve(self, extent: Extent) -> int | None:
        """Reserve what something may read, and count it as under way.

        Returns:
            The bytes that are reserved, for `settle`; None if it must not be begun now.
        """
        fits_alone = self.is_idle and extent.least <= self.left
        if extent.most > self.left and not fits_alone:
            return None
        reserved = min(extent.most, self.left)
        self.left -= reserved
        self._under_way += 1
        return reserved

    def settle(self, reserved: int, read: int) -> None:
        """Note that something has ended which had reserved so much, and has read so much."""
        self.left += reserved - read
        self._under_way -= 1
