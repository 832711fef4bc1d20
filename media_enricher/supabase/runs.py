"""The table of runs, which frontends read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from supabase import Client

from media_enricher.models import EnrichRun, RunStatus
from media_enricher.supabase.retrying import call
from media_enricher.supabase.rows import storable, storable_text

_TABLE = "media_enrich_runs"


class RunTable:
    """`public.media_enrich_runs`. Every method is safe to repeat.

    All methods raise SupabaseError if Supabase refuses or fails a request, after retries.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def record(self, run_id: str, **changes: Any) -> EnrichRun:
        """Save columns of a run, and create its row if there is none.

        Late and repeated calls are harmless: a status never moves backwards and counters only grow.
        A crashed run that sends a newer `heartbeat_at` counts as running again, and so does any
        ended run with `restart=True`. `settle_total=True` lowers the total to what was processed.

        Args:
            run_id: the id of the Prefect flow run.
            **changes: columns of the table; the first call must give the `bucket`. A value of None
                changes nothing.

        Returns:
            The row as it is now, which may differ from the changes.
        """
        changed = {"id": run_id, **msgspec.to_builtins(changes)}
        payload = {
            name: storable_text(value) if isinstance(value, str) else value
            for name, value in changed.items()
        }
        saved = call(
            "media_record_run",
            lambda: self._client.rpc("media_record_run", {"p_run": payload}).execute().data,
        )
        return msgspec.convert(saved, EnrichRun)

    def silent(self, seconds: float) -> list[EnrichRun]:
        """Up to 1,000 runs that are not ended but were silent for so many seconds, oldest first."""
        rows = call(
            "media_silent_runs",
            lambda: (
                self._client.rpc("media_silent_runs", {"p_silence_seconds": seconds}).execute().data
            ),
        )
        return msgspec.convert(rows, list[EnrichRun])

    def end_silent(
        self, run: EnrichRun, status: RunStatus, error: str | None, at: datetime | None = None
    ) -> bool:
        """End a silent run, unless it has sent a heartbeat since then, or has ended.

        Args:
            run: its row when it was found silent.
            status: its final status.
            error: why it ended, for people.
            at: when it ended; None for now.

        Returns:
            Whether this call ended it.
        """
        payload = {
            "p_run_id": run.id,
            "p_heartbeat_at": run.heartbeat_at,
            "p_status": status,
            "p_error": storable(error),
            "p_finished_at": at,
        }
        ended = call(
            "media_end_silent_run",
            lambda: (
                self._client.rpc("media_end_silent_run", msgspec.to_builtins(payload))
                .execute()
                .data
            ),
        )
        return bool(ended)

    def get(self, run_id: str) -> EnrichRun | None:
        """The row of a run, or None."""
        rows = self._select(lambda query: query.eq("id", run_id))
        return rows[0] if rows else None

    def shards(self, parent_run_id: str) -> list[EnrichRun]:
        """The shards of a sharded run."""
        return self._select(lambda query: query.eq("parent_run_id", parent_run_id))

    def recent(
        self,
        limit: int = 20,
        *,
        tenant_id: str | None = None,
        requested_by: str | None = None,
        bucket: str | None = None,
        status: RunStatus | None = None,
    ) -> list[EnrichRun]:
        """The newest runs, newest first, filtered by the values that are given."""
        wanted = {
            "tenant_id": tenant_id,
            "requested_by": requested_by,
            "bucket": bucket,
            "status": status,
        }

        def narrow(query: Any) -> Any:
            for column, value in wanted.items():
                if value is not None:
                    query = query.eq(column, storable_text(value))
            return query.order("started_at", desc=True).limit(limit)

        return self._select(narrow)

    def _select(self, narrow: Any) -> list[EnrichRun]:
        rows = call(
            f"select from {_TABLE}",
            lambda: narrow(self._client.table(_TABLE).select("*")).execute().data,
        )
        return msgspec.convert(rows, list[EnrichRun])
