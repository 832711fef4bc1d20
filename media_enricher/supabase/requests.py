"""Requests to start runs: audited, limited and reserved in one call to the database.

Several gateways may ask at once: the database lets one of them make the request for a bucket and
prefix, and the others find it. Nothing is started here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from supabase import Client

from media_enricher.models import EnrichRun
from media_enricher.run_requests import Invocation, Place, RequestLimits, Reservation
from media_enricher.supabase.retrying import call
from media_enricher.supabase.rows import storable


class RunRequests:
    """`media_enricher.run_requests`, through its functions. Every method may be called again
    but `count_unauthenticated`.

    All methods raise SupabaseError when Supabase does not do what was asked, after retries.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def request(self, asked: Invocation, limits: RequestLimits) -> Reservation:
        """Audit a request to start a run, and reserve the run if it may start.

        What it may come to is told by `Reservation.outcome`; a refused or limited request leaves
        nothing but its row in the audit.
        """
        reserved = self._call(
            "media_request_run",
            {
                "p_request": storable(msgspec.to_builtins(asked)),
                "p_limits": msgspec.to_builtins(limits),
            },
        )
        return msgspec.convert(reserved, Reservation)

    def count_unauthenticated(self, requests: Mapping[str, int]) -> None:
        """Count requests without valid credentials in the audit: a row a minute and address.

        Unlike the others, it is not harmless to repeat: call it within `patience(0)`.

        Args:
            requests: how many by address, or network; '' for those of any.
        """
        self._call("media_count_unauthenticated", {"p_requests": dict(requests)})

    def was_told(self, run_id: str, user_id: str) -> bool:
        """Whether a request of a user's was answered with this run."""
        told = self._call("media_was_told", {"p_run_id": run_id, "p_user_id": user_id})
        return bool(told)

    def start(self, request_id: str, run_id: str, invocation_id: str | None = None) -> EnrichRun:
        """Say which flow run a request became, and make its row in the table of runs.

        Args:
            request_id: of the `RunRequest`.
            run_id: of the Prefect flow run; of several that are told, the first one stays.
            invocation_id: whose row in the audit is to name the run.

        Returns:
            The row of the run, which may have begun or ended meanwhile.
        """
        run = self._call(
            "media_start_run",
            {"p_request_id": request_id, "p_run_id": run_id, "p_invocation_id": invocation_id},
        )
        return msgspec.convert(run, EnrichRun)

    def release(self, request_id: str) -> None:
        """Give up a request whose run can't be started or has ended; the next one is new."""
        self._call("media_release_request", {"p_request_id": request_id})

    def settle(self, invocation_id: str, http_status: int, reason: str) -> None:
        """Correct the audit where the answer turned out otherwise, such as 503."""
        self._call(
            "media_settle_invocation",
            {
                "p_invocation_id": invocation_id,
                "p_http_status": http_status,
                "p_reason": storable(reason),
            },
        )

    def places_without_run(self) -> list[Place]:
        """Where single objects were asked for, and no run is under way that would do them."""
        return msgspec.convert(self._call("media_undrained_requests", {}), list[Place])

    def purge(self, keep_days: float) -> int:
        """Forget what is older, the audit included, and what was asked of buckets that are no more.

        Returns:
            How many rows were deleted: some 10,000 of each table at most, and the rest next time.
        """
        return int(self._call("media_purge_requests", {"p_keep_days": keep_days}))

    def _call(self, function: str, arguments: dict[str, Any]) -> Any:
        return call(function, lambda: self._client.rpc(function, arguments).execute().data)
