"""The records of comparing a bucket with its assets: how far it has come, and what was found."""

from __future__ import annotations

from typing import Literal

import msgspec


class ComparedPiece(msgspec.Struct, frozen=True, kw_only=True):
    """What comparing a piece of a selection with its assets found."""

    until: str
    """The last path of the piece."""
    is_last: bool
    """Whether nothing is left behind it."""
    gone: int
    """Assets that were marked as gone: their objects were deleted."""
    pending: int
    size_bytes: int
    """Bytes of the pending objects."""


class ComparisonStep(msgspec.Struct, frozen=True, kw_only=True):
    """What one more statement did for the comparison of a whole bucket with its assets."""

    number: int
    """The comparison that it belongs to: one more than that of the bucket before it."""
    is_compared: bool
    """Whether all of the bucket is compared, so that only totals are left to store."""
    is_complete: bool
    """Whether nothing is left to do."""
    objects: int
    """The rows of `storage.objects` that were compared, replaced versions too."""
    gone: int
    """Assets that were marked as gone: their objects were deleted."""
    pending: int


class NextComparison(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep has to compare of a bucket."""

    comparing: Literal["whole", "part", "nothing"]
    number: int | None
    """The comparison that a part goes on with; None if it begins one."""
    part_rows: int
    """How large the part has to be at least."""
    objects: int
    """How many objects the bucket has, by the last complete comparison."""
    is_waiting: bool
    """Whether objects are known to be pending without comparing anything."""
