"""The resources of a set-up, and the outcome of each. Quick to import."""

from __future__ import annotations

from enum import StrEnum

import msgspec

POOL = "media-enricher"
"""The name of the work pool."""


class PoolType(StrEnum):
    """Where the work pool's workers start runs."""

    PROCESS = "process"
    DOCKER = "docker"


class Outcome(StrEnum):
    """What setup did with a resource."""

    CREATED = "created"
    UNCHANGED = "unchanged"
    UPDATED = "updated"
    SKIPPED = "skipped"


class Resource(msgspec.Struct, frozen=True):
    """A resource that the Prefect server or the Supabase project needs.

    Attributes:
        kind: the kind of resource, such as `work queue`.
        name: its name.
        outcome: what setup did with it.
        note: further information for the user; usually empty.
    """

    kind: str
    name: str
    outcome: Outcome
    note: str = ""


class SetupError(Exception):
    """A resource cannot be set up. The message says which, why, and what to do."""
