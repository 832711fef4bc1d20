"""Repairs of declared content types: what is planned, noted and settled in the database."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import msgspec
from supabase import Client

from media_enricher.models import Selection
from media_enricher.supabase.pieces import pieces
from media_enricher.supabase.retrying import call
from media_enricher.type_repairs import (
    MistypedObject,
    RepairOutcome,
    RepairRow,
    StartedRepair,
    UnsettledRepair,
)

PAGE_ROWS = 1000
"""The maximum number of rows in one response: PostgREST's default limit."""


class TypeRepairs:
    """`audit.type_repairs` of one bucket, through its functions. Every method is safe to repeat.

    All methods raise SupabaseError if Supabase refuses or fails a request, after retries.
    """

    def __init__(self, client: Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def mistyped_pages(
        self, prefix: str, content_types: Collection[str]
    ) -> Iterator[list[MistypedObject]]:
        """Yield objects whose declared type is another than that of their bytes, by path.

        Each page begins after the last path of the one before, so objects may change meanwhile.

        Args:
            prefix: only objects whose path starts with it.
            content_types: the true types of interest.
        """
        for piece in pieces(self._client, Selection(bucket=self._bucket, prefix=prefix)):
            yield from self._pages(piece, sorted(content_types))

    def _pages(self, piece: Selection, content_types: list[str]) -> Iterator[list[MistypedObject]]:
        after = piece.after
        while True:
            rows = self._call(
                "media_mistyped_objects",
                p_prefix=piece.prefix,
                p_types=content_types,
                p_after=after,
                p_until=piece.until,
                p_limit=PAGE_ROWS,
            )
            if not rows:  # a short page is not the end: the server may have a lower limit
                return
            page = msgspec.convert(rows, list[MistypedObject])
            yield page
            after = page[-1].path

    def start(
        self, mistyped: MistypedObject, to_type: str, *, run_id: str, requested_by: str | None
    ) -> StartedRepair | None:
        """Note a repair before anything is changed.

        Returns:
            The repair; None if the object is not what it was any more, or another run repairs it.
        """
        rows = self._call(
            "media_start_type_repair",
            p_run_id=run_id,
            p_requested_by=requested_by,
            p_path=mistyped.path,
            p_etag=mistyped.etag,
            p_from_type=mistyped.declared_content_type,
            p_to_type=to_type,
        )
        return msgspec.convert(rows[0], StartedRepair) if rows else None

    def settle(
        self, repair_id: str, *, version: str | None = None, error: str | None = None
    ) -> RepairOutcome:
        """End a repair by what is in Storage now, and give the owner back.

        Args:
            repair_id: the repair.
            version: the version that the copy got; None if that is not known.
            error: why there is no copy.
        """
        arguments = {"p_id": repair_id, "p_version": version, "p_error": error}
        outcome: Any = call(
            "media_settle_type_repair",
            lambda: self._client.rpc("media_settle_type_repair", arguments).execute().data,
        )
        return RepairOutcome(outcome)

    def unsettled(self, prefix: str) -> list[UnsettledRepair]:
        """Up to 1,000 repairs that are under way or were interrupted."""
        rows = self._call("media_unsettled_type_repairs", p_prefix=prefix)
        return msgspec.convert(rows, list[UnsettledRepair])

    def next_part(self) -> list[RepairRow]:
        """The rows of the Parquet part to be written next; the same until `note_part`."""
        rows = self._call("media_type_repair_part")
        return msgspec.convert(rows or [], list[RepairRow])

    def note_part(self, part: str) -> None:
        """Take note that a part is written."""
        self._call("media_note_type_repair_part", p_part=part)

    def _call(self, function: str, **arguments: object) -> Any:
        given = {"p_bucket": self._bucket} | arguments
        return call(function, lambda: self._client.rpc(function, given).execute().data)
