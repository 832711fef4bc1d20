"""What a set-up consists of, and what became of each part of it. Quick to import."""

from __future__ import annotations

from enum import StrEnum

import msgspec

POOL = "media-enricher"
"""The work pool."""


class PoolType(StrEnum):
    """Where the work pool's workers start runs."""

    PROCESS = "process"
    DOCKER = "docker"


class Outcome(StrEnum):
    """What became of a thing."""

    CREATED = "created"
    UNCHANGED = "unchanged"
    UPDATED = "updated"
    SKIPPED = "skipped"


class Resource(msgspec.Struct, frozen=True):
    """One thing that a Prefect server, or the project, has to have.

    Attributes:
        kind: in Prefect's words, as `work queue`.
        name: as people find it again.
        outcome: what became of it.
        note: what else one should know; mostly nothing.
    """

    kind: str
    name: str
    outcome: Outcome
    note: str = ""


class SetupError(Exception):
    """Something cannot be set up. The message says what, why, and what to do."""
