"""Tell the database which buckets the change feed watches: those of MEDIA_ENRICHER_BUCKETS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from media_enricher.settings import SupabaseSettings, settings
from media_enricher.setup.resources import Outcome, Resource
from media_enricher.supabase.client import connect
from media_enricher.supabase.errors import SupabaseError
from media_enricher.supabase.own_buckets import refusal
from media_enricher.supabase.retrying import call

_OUTCOMES = {
    "added": (Outcome.CREATED, ""),
    "kept": (Outcome.UNCHANGED, ""),
    "removed": (Outcome.UPDATED, "not watched any more: it is not in MEDIA_ENRICHER_BUCKETS"),
}


def choose_schedule() -> dict[str, Any]:
    """Whether the queue is processed every minute. A build step of `prefect.yaml`.

    Returns:
        `active`: whether there are buckets to watch. Without, nothing is queued by changes, and a
        run every minute would find nothing to do.
    """
    return {"active": bool(settings().buckets)}


async def watch_buckets(
    project: SupabaseSettings, buckets: Sequence[str]
) -> AsyncIterator[Resource]:
    """Make these the watched buckets of the settings.

    Whether their changes are queued is decided by `media-enricher changes on`, not here.

    Yields:
        Each of these buckets, and each that is not watched any more. If the database can't be
        asked and there are no buckets to watch, one that says so.

    Raises:
        SupabaseError: Supabase refused or failed the request, for example because the database is
            not migrated.
    """
    client = connect(project)
    payload = {"p_buckets": list(buckets)}
    try:
        rows: Any = await asyncio.to_thread(
            call,
            "media_watch_buckets",
            lambda: client.rpc("media_watch_buckets", payload).execute().data,
        )
    except SupabaseError as error:
        if buckets:
            raise
        yield Resource("watched buckets", "none", Outcome.SKIPPED, str(error))
        return
    for row in rows:
        yield _resource(row["bucket"], row["outcome"])


def _resource(bucket: str, outcome: str) -> Resource:
    if outcome == "refused":
        return Resource("watched bucket", bucket, Outcome.SKIPPED, refusal(bucket))
    return Resource("watched bucket", bucket, *_OUTCOMES[outcome])
