"""The table of assets: which objects of a bucket are pending, and what was found."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec
from supabase import Client

from media_enricher.comparisons import ComparedPiece, ComparisonStep, NextComparison
from media_enricher.models import (
    ENRICHER_VERSION,
    MOST_RANGE_BYTES,
    TRANSIENT_ERRORS,
    AssetStatus,
    FailureReason,
    PendingCount,
    RunPace,
    Selection,
    Share,
    StorageObject,
)
from media_enricher.run_cost import Estimate, estimate, header_bytes, joined_shares
from media_enricher.settings import settings
from media_enricher.supabase.pieces import PIECE_ROWS, pieces
from media_enricher.supabase.retrying import call
from media_enricher.supabase.rows import storable_text

PAGE_ROWS = 1000
"""The maximum number of rows in one response or request: PostgREST's default limit.

A page of pending objects is one value, and may hold more.
"""
_SHARES_A_PIECE = 64
"""How fine a piece is split: no share of the whole is off by more than a 64th of a piece."""


class AssetTable:
    """`public.media_assets`, through its functions. Every method is safe to repeat.

    All methods raise SupabaseError if Supabase refuses or fails a request, after retries.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def pieces(self, selection: Selection) -> Iterator[Selection]:
        """Cut a selection into ranges that a statement looks at as a whole, at least one."""
        return pieces(self._client, selection)

    def compare_piece(self, selection: Selection, *, rows: int | None = None) -> ComparedPiece:
        """Compare the first piece of a selection: mark assets as gone, and count what is pending.

        Args:
            selection: what is left to compare.
            rows: how many objects and assets the piece has at most; `PIECE_ROWS` by default.
        """
        arguments = _selection(selection) | {"p_rows": rows or PIECE_ROWS}
        (row,) = self._call("media_compare_piece", arguments)
        return msgspec.convert(row, ComparedPiece)

    def count_pending(
        self, selection: Selection, *, limit: int | None = None, header_bytes: int = 0
    ) -> PendingCount:
        """The number of pending objects and their bytes: of all, or of the first `limit`.

        Args:
            selection: the objects to count.
            limit: the maximum number of them.
            header_bytes: what depth `header` reads of an object, at most.
        """
        total = PendingCount(0, 0)
        for piece in self.pieces(selection):
            left = None if limit is None else limit - total.objects
            reading = {
                "p_limit": left,
                "p_max_whole_bytes": settings().max_whole_bytes,
                "p_part_bytes": MOST_RANGE_BYTES,
                "p_header_bytes": header_bytes,
            }
            (counted,) = self._call("media_count_pending", _selection(piece) | reading)
            total += msgspec.convert(counted, PendingCount)
            if limit is not None and total.objects >= limit:
                break
        return total

    def next_comparison(self, bucket: str) -> NextComparison:
        """How much of a bucket a sweep has to compare with its assets, and from where."""
        arguments = {"p_bucket": bucket} | _retrying()
        (row,) = self._call("media_next_comparison", arguments)
        return msgspec.convert(row, NextComparison)

    def compare_next_piece(self, bucket: str, number: int | None) -> ComparisonStep | None:
        """Go on with the comparison of a bucket: the next piece of it, or at its end some totals.

        How far it has come is in the database, and changes with what it counts. So each piece is
        counted once, also where a request is repeated because its response was lost: that one goes
        on with the next piece.

        Args:
            bucket: the bucket to compare.
            number: the comparison to go on with; None to begin one, which ends one under way.

        Returns:
            What was done, or None if another comparison of the bucket has begun since.
        """
        arguments = {
            "p_bucket": bucket,
            "p_depth": Selection(bucket=bucket).depth,
            "p_enricher_version": ENRICHER_VERSION,
            "p_number": number,
            "p_rows": PIECE_ROWS,
        }
        steps = self._call("media_compare_next_piece", arguments | _retrying())
        return msgspec.convert(steps[0], ComparisonStep) if steps else None

    def recount(self, bucket: str) -> Iterator[int]:
        """Count a bucket anew into `media_totals`, piece by piece.

        It goes on where an earlier count stopped, if that did not come to the end.

        Yields:
            How many rows were counted so far, gone ones too. The last time, the count is complete.
        """
        is_last = False
        while not is_last:
            (piece,) = self._call("media_recount_piece", {"p_bucket": bucket})
            is_last = piece["is_last"]
            yield piece["objects"]

    def estimate(
        self, selection: Selection, *, limit: int | None, max_bytes: int | None
    ) -> Estimate:
        """What a run over the pending objects would cost, with a limit of objects and of bytes."""
        paces = {pace.depth: pace for pace in self.paces(selection.bucket)}
        pending = self.count_pending(selection, limit=limit, header_bytes=header_bytes(paces))
        return estimate(
            pending,
            selection.depth,
            paces,
            max_bytes=max_bytes,
            bytes_per_second=settings().max_bytes_per_second,
            suggest_header_above=settings().suggest_header_above_gb * 1e9,
        )

    def paces(self, bucket: str) -> list[RunPace]:
        """How fast the last runs of each depth were: over this bucket, else over all buckets."""
        return msgspec.convert(self._call("media_run_paces", {"p_bucket": bucket}), list[RunPace])

    def pending_pages(
        self, selection: Selection, *, limit: int | None = None, rows: int = PAGE_ROWS
    ) -> Iterator[list[StorageObject]]:
        """Yield at most `limit` pending objects, in the byte order of their paths.

        Each page begins after the last path of the previous one, so rows may be written meanwhile.
        Where few objects are pending, one page may look at all of the selection: it should be a
        piece, see `pieces`.

        Args:
            selection: the objects to look for.
            limit: the maximum number of them.
            rows: how many a page has, but for the last one.

        Yields:
            Pages of at least one object.
        """
        parameters = _selection(selection)
        left, after, is_last = limit, selection.after, False
        while not is_last and (left is None or left > 0):
            wanted = rows if left is None else min(left, rows)
            found = self._call(
                "media_pending_page", parameters | {"p_after": after, "p_limit": wanted}
            )
            page = [
                msgspec.convert(each | {"bucket": selection.bucket}, StorageObject)
                for each in found["objects"]
            ]
            if not page:
                return
            yield page
            is_last, after = found["is_last"], page[-1].path
            left = None if left is None else left - len(page)

    def split_pending(self, selection: Selection, shards: int) -> list[Share]:
        """Split the pending objects into ranges with about the same amount of work, in path order.

        Of a bucket that has several pieces, each is split by itself, finer than asked for, and its
        neighbouring shares are joined.

        Returns:
            At most so many shares; fewer if there are few objects, or single large ones.
        """
        parts = list(self.pieces(selection))
        if len(parts) == 1:
            return self._split(selection, shards)
        fine = [share for part in parts for share in self._split(part, _SHARES_A_PIECE)]
        return joined_shares(fine, shards, selection.depth)

    def _split(self, selection: Selection, shards: int) -> list[Share]:
        shares = self._call("media_split_pending", _selection(selection) | {"p_shards": shards})
        return msgspec.convert(shares, list[Share])

    def cuts(self, bucket: str) -> list[str]:
        """The bounds of batches that earlier runs wrote only in part."""
        cuts: list[str] = self._call("media_cuts", {"p_bucket": bucket})
        return cuts

    def note_cuts(self, bucket: str, paths: Collection[str], done: Collection[str]) -> None:
        """Store the bounds of batches that are being written in part.

        Args:
            bucket: the bucket of the batches.
            paths: the bounds to store.
            done: the bounds of batches that are now complete, to delete.
        """
        arguments = {"p_bucket": bucket, "p_paths": list(paths), "p_done": list(done)}
        self._call("media_note_cuts", arguments)

    def failures_by_reason(self, run_id: str) -> list[FailureReason]:
        """Why objects failed in this run, most frequent reason first.

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
        """The rows of the objects that this run was the last to process.

        Args:
            run_id: the id of the run.
            columns: the columns to return.
            after: the last path of the previous page (exclusive).
            limit: the maximum number of rows, up to 1,000.
            status: only rows with this status.

        Returns:
            The rows in the byte order of their paths; empty after the last one.
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
    """The bucket, prefix and range as parameters of a function."""
    return {
        "p_bucket": selection.bucket,
        "p_prefix": selection.prefix,
        "p_after": selection.after,
        "p_until": selection.until,
    }


def _selection(selection: Selection) -> dict[str, Any]:
    """The selection as parameters of the planning functions."""
    return (
        _place(selection)
        | {
            "p_mode": selection.mode,
            "p_depth": selection.depth,
            "p_enricher_version": ENRICHER_VERSION,
        }
        | _retrying()
    )


def _retrying() -> dict[str, Any]:
    """Which failed objects are pending, as parameters of the planning functions."""
    return {
        "p_transient_codes": sorted(TRANSIENT_ERRORS),
        "p_max_attempts": settings().max_attempts,
    }
