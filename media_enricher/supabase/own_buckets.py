"""The buckets that Media Enricher itself writes to, and so never works on. All ask here.

What a run stores is an upload as any other: followed, it would start the next run, without end. The
database keeps their names (`media_enricher.own_buckets`), those of older settings too, and its own
functions find nothing to do in them. A program tells it those it is set to use whenever it asks;
a run does so before it stores anything, so a gateway need not know Prefect's blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from supabase import Client

from media_enricher.settings import Settings
from media_enricher.snapshot.targets import bucket_name
from media_enricher.supabase.retrying import call


class Purpose(StrEnum):
    """What one of our own buckets is for. Stored in the database."""

    RESULTS = "results"
    SNAPSHOTS = "snapshots"


class OwnBucketError(Exception):
    """Somebody asked for work in one of our own buckets. The message says so, and what to do."""


class OwnBuckets:
    """Our own buckets, as the database knows them and these settings name them."""

    def __init__(self, client: Client, configured: Mapping[str, Purpose]) -> None:
        """Know them from the database, and tell it of those that are configured here."""
        self._client = client
        self._configured = {name: purpose.value for name, purpose in configured.items()}

    def names(self) -> frozenset[str]:
        """Those that are used now, and those that were used before.

        Raises:
            SupabaseError: the database does not answer, after retries.
        """
        told = {"p_buckets": self._configured}
        rows: Any = call(
            "media_own_buckets", lambda: self._client.rpc("media_own_buckets", told).execute().data
        )
        return frozenset(rows)


def configured_buckets(ours: Settings) -> dict[str, Purpose]:
    """The buckets of our own that settings name by themselves; a block is for whoever loads it."""
    name = bucket_name(ours.snapshot)
    return {name: Purpose.SNAPSHOTS} if name is not None else {}


def refusal(bucket: str) -> str:
    """Why nothing is done in a bucket of our own, in a sentence."""
    return (
        f"The bucket {bucket!r} holds what Media Enricher itself stores (results of tasks, or "
        "snapshots), so it is not worked on. Name a bucket of media; keep results and snapshots in "
        "buckets of their own."
    )
