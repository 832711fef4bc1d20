"""The records of comparing a bucket with its assets: how far it has come, and what was found."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec


class TenantPending(msgspec.Struct, frozen=True):
    """What is pending of a tenant, as the totals of the dashboard have it."""

    tenant: str | None
    """The tenant's id; None for objects of no tenant."""
    is_recorded: bool
    """Whether they have a row in `media_assets` already."""
    objects: int
    size_bytes: int


class ComparedPiece(msgspec.Struct, frozen=True, kw_only=True):
    """What comparing a piece of a bucket with its assets found."""

    until: str
    """The last path of the piece."""
    is_last: bool
    """Whether nothing is left behind it."""
    started_at: datetime
    objects: int
    """The rows of `storage.objects` that it has, replaced versions too."""
    gone: int
    """Assets that were marked as gone: their objects were deleted."""
    pending: int
    size_bytes: int
    """Bytes of the pending objects."""
    tenants: list[TenantPending] | None = None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """How far a comparison of a bucket with its assets has come, from the bucket's beginning."""

    after: str = ""
    """The last path that was compared."""
    is_complete: bool = False
    started_at: datetime | None = None
    """When its first piece was compared; None before that."""
    objects: int = 0
    tenants: list[TenantPending] = []


class NextComparison(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep has to compare of a bucket."""

    comparing: Literal["whole", "part", "nothing"]
    after: str
    """Where the part begins (exclusive)."""
    part_from: datetime | None
    """When the comparison began that the part belongs to; None if it begins with this part."""
    part_objects: int
    """What was compared before the part."""
    tenants: list[TenantPending]
    """What was found pending before the part."""
    part_rows: int
    """How large the part has to be at least."""
    objects: int
    """How many objects the bucket has, by the last complete comparison."""
    is_waiting: bool
    """Whether objects are known to be pending without comparing anything."""
