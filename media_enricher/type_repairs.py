"""The records of repairs of declared content types."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec


class RepairOutcome(StrEnum):
    """How a repair ended."""

    REPAIRED = "repaired"
    """The declared type is right, and all else is as before."""
    UNVERIFIED = "unverified"
    """So it is, but Storage's ETag does not say that the bytes are the same: the object is enriched
    again."""
    CHANGED = "changed"
    """The object was overwritten meanwhile, and is left as it is."""
    GONE = "gone"
    """The object was deleted meanwhile."""
    FAILED = "failed"
    """Storage refused."""
    NOT_DONE = "not_done"
    """It was interrupted before anything was changed."""


class MistypedObject(msgspec.Struct, frozen=True, kw_only=True):
    """An object whose declared type is not the one found in its bytes."""

    path: str
    etag: str | None
    """Of the listing, `W/` stripped."""
    size_bytes: int | None
    declared_content_type: str | None
    content_type: str
    """By the bytes."""
    is_stale: bool
    """Other bytes are there now than those that were looked at."""


class StartedRepair(msgspec.Struct, frozen=True):
    """A repair that is noted, and what the object has that a copy drops."""

    id: str
    cache_control: str | None
    user_metadata: dict[str, Any] | None


class UnsettledRepair(msgspec.Struct, frozen=True):
    """A repair that is under way, or was interrupted."""

    id: str
    path: str
    age_seconds: float


class RepairRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the audit, as the Parquet parts have it."""

    id: str
    run_id: str
    requested_by: str | None
    bucket: str
    path: str
    object_id: str
    from_type: str | None
    to_type: str
    outcome: RepairOutcome
    error_message: str | None
    started_at: datetime
    settled_at: datetime
    size_bytes: int | None
    version_before: str | None
    version_after: str | None
    etag_before: str | None
    etag_after: str | None
    part: str
