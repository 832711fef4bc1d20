"""Requests to start runs: audited, limited and reserved in one call to the database.

If several gateways send the same request at once, the database makes one reservation for the bucket
and prefix, and returns it to all of them. Nothing is started here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from supabase import Client

from media_enricher.models import EnrichRun
from media_enricher.run_requests import Invocation, ObjectQueue, RequestLimits, Reservation
from media_enricher.supabase.retrying import call
from media_enricher.supabase.rows import storable


class RunRequests:
    """The table `media_enricher.run_requests`, by the functions of the database.

    Every method except `count_unauthenticated` is safe to repeat.

    All methods raise SupabaseError if Supabase refuses or fails a request, after retries.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def request(self, invocation: Invocation, limits: RequestLimits) -> Reservation:
        """Audit a request to start a run, and reserve the run if it may start.

        `Reservation.outcome` is the result. Of a refused or limited request, only the row in the
        audit is kept.
        """
        reserved = self._call(
            "media_request_run",
            {
                "p_request": storable(msgspec.to_builtins(invocation)),
                "p_limits": msgspec.to_builtins(limits),
            },
        )
        return msgspec.convert(reserved, Reservation)

    def count_unauthenticated(self, requests: Mapping[str, int]) -> None:
        """Count requests without valid credentials in the audit: one row per minute and address.

        Unlike the others, this is not safe to repeat: call it within `patience(0)`.

        Args:
            requests: the number of requests by address or network; '' for all other addresses.
        """
        self._call("media_count_unauthenticated", {"p_requests": dict(requests)})

    def was_returned(self, run_id: str, user_id: str) -> bool:
        """Whether the response to a request of this user named this run."""
        return bool(self._call("media_was_told", {"p_run_id": run_id, "p_user_id": user_id}))

    def start(self, request_id: str, run_id: str, invocation_id: str | None = None) -> EnrichRun:
        """Record the flow run of a request, and create its row in the table of runs.

        Args:
            request_id: the id of the `RunRequest`.
            run_id: the id of the Prefect flow run. If it is called with several, the first is kept.
            invocation_id: the row in the audit that gets the id of the run.

        Returns:
            The row of the run. The run may have begun or ended meanwhile.
        """
        run = self._call(
            "media_start_run",
            {"p_request_id": request_id, "p_run_id": run_id, "p_invocation_id": invocation_id},
        )
        return msgspec.convert(run, EnrichRun)

    def release(self, request_id: str) -> None:
        """Release a reservation whose run cannot start or has ended. The next request is new."""
        self._call("media_release_request", {"p_request_id": request_id})

    def correct_audit(self, invocation_id: str, http_status: int, reason: str) -> None:
        """Correct the status in the audit if the response had another one, such as 503."""
        self._call(
            "media_settle_invocation",
            {
                "p_invocation_id": invocation_id,
                "p_http_status": http_status,
                "p_reason": storable(reason),
            },
        )

    def queues_without_run(self) -> list[ObjectQueue]:
        """The queues that hold objects and have no active run."""
        return msgspec.convert(self._call("media_undrained_requests", {}), list[ObjectQueue])

    def purge(self, keep_days: float) -> int:
        """Delete older requests and audit rows, and all requests for deleted buckets.

        Returns:
            The number of deleted rows, at most about 10,000 of each table. The next call continues.
        """
        return int(self._call("media_purge_requests", {"p_keep_days": keep_days}))

    def _call(self, function: str, arguments: dict[str, Any]) -> Any:
        return call(function, lambda: self._client.rpc(function, arguments).execute().data)
