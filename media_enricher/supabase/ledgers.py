"""The ledger of snapshots: a part, its rows and the run's counters are recorded together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from supabase import Client

from media_enricher.models import TRANSIENT_ERRORS, EnrichRun, Outcome
from media_enricher.supabase.retrying import call
from media_enricher.supabase.rows import encode_rows

PART_ROWS = 4000
"""The maximum number of outcomes in one part, which is one request and one transaction.

A batch of headers is one part. Between 1,000 and 5,000 rows, a row costs the database the same."""


_PURGED_ROWS = 10_000
"""How many rows of each table `media_purge_run_records` deletes at most."""
_PURGED_PIECES = 100
"""How many pieces are deleted at most: nothing else of a sweep is done meanwhile."""


class OpenPart(msgspec.Struct, frozen=True):
    """The part of a snapshot that may be written next.

    Attributes:
        part: its number.
        given_up: numbers of parts that were never recorded; their files are to be deleted.
        recorded: the last recorded part, if any; its file may not be renamed yet.
    """

    part: int
    given_up: list[int]
    recorded: int | None


class RecordedPart(msgspec.Struct, frozen=True):
    """The result of recording a part.

    Attributes:
        gone: the paths that got no row, because their object was deleted meanwhile.
        next_part: the number of the part that may be written next.
        run: the run's row, including this part.
    """

    gone: list[str]
    next_part: int
    run: EnrichRun


class Unsettled(msgspec.Struct, frozen=True):
    """A snapshot of a run that may need to be cleaned up.

    Attributes:
        run_id: the id of the run.
        snapshot_path: the address of its snapshot.
        parts: numbers of parts that were never recorded, if the run has ended; some have no file.
        recorded: the last recorded part, if any; its file may not be renamed yet.
    """

    run_id: str
    snapshot_path: str | None
    parts: list[int]
    recorded: int | None


class SnapshotLedger:
    """Which parts of which snapshots are recorded. Every method is safe to repeat.

    All methods raise SupabaseError if Supabase refuses or fails a request, after retries.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def open(self, run_id: str, least: int) -> OpenPart:
        """Open a part, for the first write of an attempt at a run.

        Parts that an earlier attempt left open are given up.

        Args:
            run_id: the id of a run that has a row.
            least: the first number that has no file yet.
        """
        (opened,) = self._call("media_open_part", {"p_run_id": run_id, "p_least": least})
        return msgspec.convert(opened, OpenPart)

    def record(
        self, run_id: str, part: int, bucket: str, outcomes: Sequence[Outcome]
    ) -> RecordedPart | None:
        """Upsert the rows of a part that is written, count them, and open the next part.

        Args:
            run_id: the id of the run.
            part: the number of the part, which must be the open one.
            bucket: the bucket of all outcomes.
            outcomes: the outcomes in the part, at most `PART_ROWS`.

        Returns:
            None if nothing was recorded, because the part was given up meanwhile.
        """
        arguments = {
            "p_run_id": run_id,
            "p_part": part,
            "p_bucket": bucket,
            "p_assets": msgspec.Raw(encode_rows([outcome.asset for outcome in outcomes])),
            "p_transient_codes": sorted(TRANSIENT_ERRORS),
            "p_bytes_read": sum(outcome.bytes_read for outcome in outcomes),
        }
        rest = self._client.postgrest
        # This bypasses the client's query builder, and puts the names of the arguments into the
        # URL: then msgspec encodes the rows once, and PostgREST passes them on unparsed.
        # Together this takes a third of the processor time.
        answer = call(
            "media_record_part",
            lambda: rest.session.post(
                str(rest.base_url.joinpath("rpc", "media_record_part")),
                params={"columns": ",".join(arguments)},
                headers={**rest.headers, "Content-Type": "application/json"},
                content=msgspec.json.encode(arguments),
            ),
        )
        (result,) = msgspec.json.decode(answer.content)
        return msgspec.convert(result, RecordedPart) if result["is_recorded"] else None

    def give_up(self, bucket: str | None, silence_seconds: float) -> list[Unsettled]:
        """Give up the open parts of runs that have ended, or were silent for too long.

        A run that looks alive keeps its open part, even if it was killed a moment ago.

        Args:
            bucket: the bucket of the runs; None for all.
            silence_seconds: after so long without a heartbeat, a run counts as dead.

        Returns:
            Up to 1,000 ended runs with parts whose files must be deleted, and up to 1,000 runs that
            look alive and have recorded parts.
        """
        unsettled = self._call(
            "media_give_up_parts", {"p_bucket": bucket, "p_silence_seconds": silence_seconds}
        )
        return msgspec.convert(unsettled, list[Unsettled])

    def forget(self, run_id: str, parts: Sequence[int]) -> None:
        """Record that the files of these given-up parts are deleted."""
        self._call("media_forget_parts", {"p_run_id": run_id, "p_parts": list(parts)})

    def purge(self, keep_days: float) -> int:
        """Delete the ledgers and failures of runs that ended earlier than that, piece by piece.

        Returns:
            How many rows were deleted: a million of each table at most; the rest next time.
        """
        purged = 0
        for _ in range(_PURGED_PIECES):
            deleted = int(self._call("media_purge_run_records", {"p_keep_days": keep_days}))
            purged += deleted
            if deleted < _PURGED_ROWS:  # of all tables together, so nothing is left
                break
        return purged

    def _call(self, function: str, arguments: dict[str, Any]) -> Any:
        return call(function, lambda: self._client.rpc(function, arguments).execute().data)
