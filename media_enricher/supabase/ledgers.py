"""The ledger of snapshots: a part, its rows and the run's counters are recorded together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from supabase import Client

from media_enricher.models import TRANSIENT_ERRORS, EnrichRun, Outcome
from media_enricher.supabase.retrying import call
from media_enricher.supabase.rows import encode_rows

PART_ROWS = 2000
"""The most outcomes of one part, which is one request and one transaction."""


class OpenPart(msgspec.Struct, frozen=True):
    """The part of a snapshot that may be written next.

    Attributes:
        part: its number.
        given_up: numbers of parts that were never recorded; their files are to be deleted.
        recorded: the last recorded part, if any; its file may not have its name yet.
    """

    part: int
    given_up: list[int]
    recorded: int | None


class RecordedPart(msgspec.Struct, frozen=True):
    """What came of recording a part.

    Attributes:
        gone: the paths that have no row, because their object was deleted meanwhile.
        next_part: the number of the part that may be written next.
        run: the run's row, this part counted.
    """

    gone: list[str]
    next_part: int
    run: EnrichRun


class Unsettled(msgspec.Struct, frozen=True):
    """What may be left to do in the snapshot of a run.

    Attributes:
        run_id: of the run.
        snapshot_path: the address of its snapshot.
        parts: numbers of parts that were never recorded, if the run is over; not each has a file.
        recorded: the last recorded part, if any; its file may not have its name yet.
    """

    run_id: str
    snapshot_path: str | None
    parts: list[int]
    recorded: int | None


class SnapshotLedger:
    """Which parts of which snapshots count. Every method may be called again safely.

    All methods raise SupabaseError when Supabase does not do what was asked, after retries.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def open(self, run_id: str, least: int) -> OpenPart:
        """Open a part, for the first write of an attempt at a run.

        What an attempt before left open is given up.

        Args:
            run_id: of a run that has a row.
            least: the first number that is free where the snapshot is kept.
        """
        (opened,) = self._call("media_open_part", {"p_run_id": run_id, "p_least": least})
        return msgspec.convert(opened, OpenPart)

    def record(
        self, run_id: str, part: int, bucket: str, outcomes: Sequence[Outcome]
    ) -> RecordedPart | None:
        """Upsert the rows of a part that is written, count them, and open the next part.

        Args:
            run_id: of the run.
            part: the number of the part, which must be the open one.
            bucket: that of all its outcomes.
            outcomes: those in the part, at most `PART_ROWS`.

        Returns:
            None if nothing was recorded, for the part was given up meanwhile.
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
        # Past the client's query builder, and with the arguments' names in the address: then the
        # rows are encoded once, by msgspec, and PostgREST hands them on without reading them. All
        # three together take a third of the processor time that they would otherwise.
        answer = call(
            "media_record_part",
            lambda: rest.session.post(
                str(rest.base_url.joinpath("rpc", "media_record_part")),
                params={"columns": ",".join(arguments)},
                headers={**rest.headers, "Content-Type": "application/json"},
                content=msgspec.json.encode(arguments),
            ),
        )
        (told,) = msgspec.json.decode(answer.content)
        return msgspec.convert(told, RecordedPart) if told["is_recorded"] else None

    def give_up(self, bucket: str | None, silence_seconds: float) -> list[Unsettled]:
        """Give up what runs left open that have ended, or were silent for so long.

        A run that may have been killed just now, and looks alive, keeps the part that it has open.

        Args:
            bucket: that of the runs; None for all.
            silence_seconds: of a run that has not ended.

        Returns:
            Up to 1,000 runs that are over and have parts whose files are to be deleted, and as many
            that look alive and have recorded parts.
        """
        told = self._call(
            "media_give_up_parts", {"p_bucket": bucket, "p_silence_seconds": silence_seconds}
        )
        return msgspec.convert(told, list[Unsettled])

    def forget(self, run_id: str, parts: Sequence[int]) -> None:
        """Take note that the files of these given up parts are deleted."""
        self._call("media_forget_parts", {"p_run_id": run_id, "p_parts": list(parts)})

    def purge(self, keep_days: float) -> int:
        """Forget ledgers and failures of runs that ended longer ago.

        Returns:
            How many rows were deleted: 10,000 of each table at most, and the rest next time.
        """
        return int(self._call("media_purge_run_records", {"p_keep_days": keep_days}))

    def _call(self, function: str, arguments: dict[str, Any]) -> Any:
        return call(function, lambda: self._client.rpc(function, arguments).execute().data)
