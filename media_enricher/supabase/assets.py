"""The table of assets: what is left to do for a bucket, and what was found."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec
from supabase import Client

from media_enricher.models import (
    ENRICHER_VERSION,
    TRANSIENT_ERRORS,
    AssetStatus,
    FailureReason,
    PendingCount,
    Selection,
    Share,
    StorageObject,
)
from media_enricher.settings import settings
from media_enricher.supabase.retrying import call
from media_enricher.supabase.rows import storable_text

PAGE_ROWS = 1000
"""The most rows in one answer or request: PostgREST cuts answers there unless told otherwise."""


class AssetTable:
    """`public.media_assets`, through its functions. Every method may be called again safely.

    All methods raise SupabaseError when Supabase does not do what was asked, after retries.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def count_pending(self, selection: Selection, *, limit: int | None = None) -> PendingCount:
        """How many objects are left to do, and their bytes: of all, or of the first `limit`."""
        (counted,) = self._call("media_count_pending", _question(selection) | {"p_limit": limit})
        return msgspec.convert(counted, PendingCount)

    def pending_pages(
        self, selection: Selection, *, limit: int | None = None
    ) -> Iterator[list[StorageObject]]:
        """Yield what is left to do, at most `limit` objects, in the byte order of their paths.

        Each page begins after the last path of the one before, so rows may be written meanwhile.

        Yields:
            Pages of 1 to 1,000 objects.
        """
        question = _question(selection)
        left, after = limit, selection.after
        while left is None or left > 0:
            rows = self._call(
                "media_pending_objects",
                question
                | {
                    "p_after": after,
                    "p_limit": PAGE_ROWS if left is None else min(left, PAGE_ROWS),
                },
            )
            if not rows:  # a short page is no sign of the end: the server may cut answers shorter
                return
            page = [
                msgspec.convert(each | {"bucket": selection.bucket}, StorageObject) for each in rows
            ]
            yield page
            after = page[-1].path
            left = None if left is None else left - len(page)

    def split_pending(self, selection: Selection, shards: int) -> list[Share]:
        """Cut what is left to do into shares of about the same work, in the order of their paths.

        Returns:
            At most so many; fewer where there are few objects, or single large ones.
        """
        shares = self._call("media_split_pending", _question(selection) | {"p_shards": shards})
        return msgspec.convert(shares, list[Share])

    def cuts(self, bucket: str) -> list[str]:
        """The bounds of batches that earlier runs have written in part."""
        cuts: list[str] = self._call("media_cuts", {"p_bucket": bucket})
        return cuts

    def note_cuts(self, bucket: str, paths: Collection[str], done: Collection[str]) -> None:
        """Take note of the bounds of batches that are being written in part.

        Args:
            bucket: that they are of.
            paths: the bounds.
            done: bounds of batches that are written by now.
        """
        arguments = {"p_bucket": bucket, "p_paths": list(paths), "p_done": list(done)}
        self._call("media_note_cuts", arguments)

    def mark_gone(self, selection: Selection) -> int:
        """Stamp `gone_at` on the assets whose object was deleted; returns how many are new.

        It is the bucket, the prefix and the range of the selection that count.
        """
        return int(self._call("media_mark_gone", _place(selection)))

    def failures_by_reason(self, run_id: str) -> list[FailureReason]:
        """Why objects did not succeed in this run, the most frequent reason first.

        An object that was deleted before it was read counts as `gone`.
        """
        return msgspec.convert(
            self._call("media_run_failures", {"p_run_id": run_id}), list[FailureReason]
        )

    def of_run(
        self,
        run_id: str,
        columns: Sequence[str],
        *,
        after: str = "",
        limit: int = 24,
        status: AssetStatus | None = None,
    ) -> list[dict[str, Any]]:
        """What was found of the objects that were last worked on by this run.

        Args:
            run_id: of the run.
            columns: of the table, to be returned.
            after: the path after which the page begins: the last one of the page before.
            limit: the most rows, up to 1,000.
            status: only those that ended like this.

        Returns:
            In the byte order of their paths; empty after the last one.
        """

        def select() -> Any:
            query = (
                self._client.table("media_assets")
                .select(",".join(columns))
                .eq("run_id", run_id)
                .gt("path", storable_text(after))
            )
            if status is not None:
                query = query.eq("status", status)
            return query.order("path").limit(limit).execute().data

        rows: list[dict[str, Any]] = call("select from media_assets", select)
        return rows

    def _call(self, function: str, arguments: dict[str, Any]) -> Any:
        return call(function, lambda: self._client.rpc(function, arguments).execute().data)


def _place(selection: Selection) -> dict[str, str]:
    """Where in a bucket, as parameters."""
    return {
        "p_bucket": selection.bucket,
        "p_prefix": selection.prefix,
        "p_after": selection.after,
        "p_until": selection.until,
    }


def _question(selection: Selection) -> dict[str, Any]:
    """What the planning functions are asked, as their parameters."""
    return _place(selection) | {
        "p_mode": selection.mode,
        "p_depth": selection.depth,
        "p_enricher_version": ENRICHER_VERSION,
        "p_transient_codes": sorted(TRANSIENT_ERRORS),
        "p_max_attempts": settings().max_attempts,
    }
