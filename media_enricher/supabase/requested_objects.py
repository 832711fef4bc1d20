"""The objects that somebody asked to have enriched, one by one, kept until that is done."""

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
    """`media_enricher.requested_objects` of a bucket and prefix. Every method may be called again.

    All methods raise SupabaseError when Supabase does not do what was asked, after retries.
    """

    def __init__(self, client: Client, bucket: str, prefix: str) -> None:
        """Look at those that were asked for under exactly this prefix: '' or a tenant's folder."""
        self._client = client
        self._place = {"p_bucket": bucket, "p_prefix": prefix}
        self._bucket = bucket

    def page(self, depth: Depth) -> RequestedPage:
        """The oldest 1,000; of those that were deleted, the assets are marked as gone."""
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
            sequence=max((row["sequence"] for row in rows), default=0),
        )

    def complete(self, page: RequestedPage, run_id: str) -> int:
        """Take those of a page for done, but for those that were asked for again meanwhile.

        Of those that do not exist, the run's failures tell.

        Returns:
            How many are done.
        """
        fulfilled = self._call(
            "media_fulfil_requests",
            p_paths=page.paths,
            p_sequence=page.sequence,
            p_run_id=run_id,
            p_idle=sorted(set(page.paths).difference(each.path for each in page.pending)),
        )
        return int(fulfilled)

    def finish(self, run_id: str) -> bool:
        """End the run that does them, if none is left: the next object asked for gets a new one.

        Returns:
            Whether it may end; False if there is more to do.
        """
        return bool(self._call("media_finish_requests", p_run_id=run_id))

    def _call(self, function: str, **arguments: Any) -> Any:
        told = self._place | arguments
        return call(function, lambda: self._client.rpc(function, told).execute().data)
