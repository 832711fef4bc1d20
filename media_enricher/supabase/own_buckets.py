"""The buckets that Media Enricher writes to, which it never processes.

What a run stores is an upload too, so processing it would start the next run, without end. The
database stores their names (`media_enricher.own_buckets`), also those of earlier settings, and its
functions report nothing as pending in them. Each program registers the buckets of its settings when
it asks for the names. A run does so before it stores anything, so the gateway need not read blocks.
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
    """What one of these buckets is for. Stored in the database."""

    RESULTS = "results"
    SNAPSHOTS = "snapshots"


class OwnBucketError(Exception):
    """A run was requested for one of these buckets. The message says what to do."""


class OwnBuckets:
    """These buckets, as stored in the database and named by the settings."""

    def __init__(self, client: Client, configured: Mapping[str, Purpose]) -> None:
        """Prepare to read them, and to register those that are configured here."""
        self._client = client
        self._configured = {name: purpose.value for name, purpose in configured.items()}

    def names(self) -> frozenset[str]:
        """Register the configured buckets; return all that are or were used.

        Raises:
            SupabaseError: the database does not respond, after retries.
        """
        payload = {"p_buckets": self._configured}
        rows: Any = call(
            "media_own_buckets",
            lambda: self._client.rpc("media_own_buckets", payload).execute().data,
        )
        return frozenset(rows)


def configured_buckets(settings: Settings) -> dict[str, Purpose]:
    """The snapshot bucket of the settings, if any. The bucket of results is named by a block."""
    name = bucket_name(settings.snapshot)
    return {name: Purpose.SNAPSHOTS} if name is not None else {}


def refusal(bucket: str) -> str:
    """The error message for such a bucket."""
    return (
        f"Media Enricher stores its own task results or snapshots in the bucket {bucket!r}, so it "
        "does not process this bucket. Choose a bucket of media, and use separate buckets for "
        "results and snapshots."
    )
