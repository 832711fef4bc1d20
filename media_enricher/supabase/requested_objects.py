"""The queue of single objects that were requested."""

from __future__ import annotations

from typing import Any

import msgspec
from supabase import Client

from media_enricher.models import ENRICHER_VERSION, TRANSIENT_ERRORS, Depth, StorageObject
from media_enricher.run_requests import RequestedPage
from media_enricher.settings import settings
from media_enricher.supabase.assets import PAGE_ROWS
from media_enricher.supabase.retrying import call


class RequestedObjects:
    """`media_enricher.requested_objects` of a bucket and prefix. Every method is safe to repeat.

    All methods raise SupabaseError if Supabase refuses or fails a request, after retries.
    """

    def __init__(self, client: Client, bucket: str, prefix: str) -> None:
        """Use the objects requested under exactly this prefix: '' or a tenant's folder."""
        self._client = client
        self._place = {"p_bucket": bucket, "p_prefix": prefix}
        self._bucket = bucket

    def page(self, depth: Depth) -> RequestedPage:
        """The oldest 1,000 requested objects. Assets of deleted objects are marked as gone."""
        rows = self._call(
            "media_requested_objects",
            p_depth=depth,
            p_enricher_version=ENRICHER_VERSION,
            p_transient_codes=sorted(TRANSIENT_ERRORS),
            p_max_attempts=settings().max_attempts,
            p_limit=PAGE_ROWS,
        )
        return RequestedPage(
            pending=[
                msgspec.convert(row | {"bucket": self._bucket}, StorageObject)
                for row in rows
                if row["is_pending"]
            ],
            paths=[row["path"] for row in rows],
            sequences=[row["sequence"] for row in rows],
        )

    def complete(self, page: RequestedPage, run_id: str) -> int:
        """Remove the objects of a page from the queue, except those that were requested again.

        Objects that do not exist are recorded among the run's failures.

        Returns:
            How many were removed.
        """
        completed = self._call(
            "media_fulfil_requests",
            p_paths=page.paths,
            p_sequence=max(page.sequences, default=0),
            p_sequences=page.sequences,
            p_run_id=run_id,
            p_idle=sorted(set(page.paths).difference(each.path for each in page.pending)),
        )
        return int(completed)

    def finish(self, run_id: str) -> bool:
        """End the run if the queue is empty; the next requested object then gets a new run.

        Returns:
            Whether the run may end; False if objects are still queued.
        """
        return bool(self._call("media_finish_requests", p_run_id=run_id))

    def _call(self, function: str, **arguments: Any) -> Any:
        payload = self._place | arguments
        return call(function, lambda: self._client.rpc(function, payload).execute().data)
