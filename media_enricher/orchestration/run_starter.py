"""From a request to a run: one run per bucket and prefix, however many ask, and none lost.

1. Reserve: the database decides (`media_request_run`). It audits, limits and makes a *run request*,
   of which there is one per flow, bucket and prefix at a time.
2. Start: whoever finds a run request without a run starts it at Prefect, with the request's id as
   the idempotency key.
3. Confirm: the database is told the id of the flow run (`media_start_run`), and makes its row.

So it does not matter who of many starts it, nor whether an answer of Prefect's was lost: all of
them end with the same run. The gateway starts runs this way, and so does the sweep.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from media_enricher.models import EnrichRun, FlowName, RunStatus
from media_enricher.orchestration.prefect_api import Ending, PrefectApi, PrefectApiError
from media_enricher.orchestration.supabase_threads import SupabaseThreads
from media_enricher.run_requests import (
    Invocation,
    RequestLimits,
    RequestOutcome,
    Reservation,
    RunRequest,
)
from media_enricher.supabase.errors import SupabaseError
from media_enricher.supabase.requests import RunRequests
from media_enricher.supabase.runs import RunTable

PATIENCE_WITH_WORKERS = timedelta(seconds=30)
"""A run that was queued longer ago is looked up at Prefect, before it is taken for under way."""
A_RETRY = timedelta(minutes=1)
"""Whoever asks again so soon wants that very run, if it has ended meanwhile, too."""
RESERVATION_TRIES = 5
"""How often a run is reserved anew for one that turned out to have ended."""

_DENIED = {
    RequestOutcome.UNKNOWN_BUCKET,
    RequestOutcome.RATE_LIMITED,
    RequestOutcome.TOO_MANY_RUNS,
    RequestOutcome.TOO_MANY_OBJECTS,
    RequestOutcome.KEY_REUSED,
}
_UNAVAILABLE = (503, "unavailable")
"""What the audit says of a reserved run that could not be started: the gateway answers so."""
_logger = logging.getLogger(__name__)


class ReservationDeniedError(Exception):
    """The database reserves no run for a request: a limit, a missing bucket, or a reused key.

    Attributes:
        invocation: the request.
        reservation: the database's answer; its `outcome` says why.
        limits: that held for the request.
    """

    def __init__(
        self, invocation: Invocation, reservation: Reservation, limits: RequestLimits
    ) -> None:
        super().__init__(f"No run was reserved for {invocation.bucket!r}: {reservation.outcome}.")
        self.invocation = invocation
        self.reservation = reservation
        self.limits = limits


class NoRunReservedError(Exception):
    """Every run that was found for a request had ended by the time it was looked at."""

    def __init__(self) -> None:
        super().__init__(f"Could not reserve a run after {RESERVATION_TRIES} attempts.")


class Started(msgspec.Struct, frozen=True):
    """What became of a request.

    Attributes:
        run: the run that does it.
        was_under_way: it was started for somebody else.
    """

    run: EnrichRun
    was_under_way: bool


class RunStarter:
    """Reserves, starts and confirms runs. Use it in one event loop, by any number of tasks."""

    def __init__(
        self,
        requests: RunRequests,
        runs: RunTable,
        prefect: PrefectApi,
        in_thread: SupabaseThreads,
        limits: RequestLimits,
        deployments: Mapping[FlowName, str],
    ) -> None:
        """Start nothing yet.

        Args:
            requests: where runs are reserved.
            runs: where runs that have ended are set right.
            prefect: where runs are started.
            in_thread: how both are called.
            limits: of every request; that per minute is given with each.
            deployments: the full name of each flow's.
        """
        self._requests = requests
        self._runs = runs
        self._prefect = prefect
        self._in_thread = in_thread
        self._limits = limits
        self._deployments = deployments
        self._starting: dict[str, asyncio.Task[EnrichRun | None]] = {}

    async def reserve(
        self, invocation: Invocation, *, per_minute: int | None = None
    ) -> Reservation:
        """Put a request on record, and reserve a run for it unless it is refused or a dry run.

        Args:
            invocation: the request.
            per_minute: how often this caller may ask in a minute; None for any number.

        Raises:
            ReservationDeniedError: no such bucket, a reused key, or a limit is reached.
            SupabaseError: the database is away.
        """
        limits = msgspec.structs.replace(self._limits, requests_per_minute=per_minute)
        reservation = await self._in_thread(lambda: self._requests.request(invocation, limits))
        if reservation.outcome in _DENIED:
            raise ReservationDeniedError(invocation, reservation, limits)
        return reservation

    async def start(self, invocation: Invocation, *, per_minute: int | None = None) -> Started:
        """Start a run, or find the one that is under way.

        Args:
            invocation: the request.
            per_minute: how often this caller may ask in a minute; None for any number.

        Raises:
            ReservationDeniedError, SupabaseError: as `reserve` does.
            PrefectApiError: Prefect is away, or has no such deployment. The same request may be
                made again, and finds the run if Prefect took it after all.
            NoRunReservedError: runs end as fast as they are reserved.
        """
        for _ in range(RESERVATION_TRIES):
            reservation = await self.reserve(invocation, per_minute=per_minute)
            try:
                run = await self._run_of(reservation)
            except (PrefectApiError, SupabaseError):
                await self._correct_audit(reservation)
                raise
            if run is not None:
                return Started(run, reservation.outcome is RequestOutcome.UNDER_WAY)
        raise NoRunReservedError

    async def _run_of(self, reservation: Reservation) -> EnrichRun | None:
        """The run of a reservation; None if one has to reserve again."""
        request, run = reservation.request, reservation.run
        if run is None and request is not None:
            return await self._start_once(request, reservation.invocation_id)
        if run is None or reservation.outcome is RequestOutcome.REPEATED:
            return run
        return run if await self._is_under_way(run) else None

    async def _start_once(self, request: RunRequest, invocation_id: str) -> EnrichRun | None:
        """Start the run of a request; or wait until another task has, and reserve again."""
        starting = self._starting.get(request.id)
        if starting is not None:
            await asyncio.shield(starting)
            return None
        starting = asyncio.create_task(self._start_and_confirm(request, invocation_id))
        self._starting[request.id] = starting
        starting.add_done_callback(lambda _: self._starting.pop(request.id))
        return await asyncio.shield(starting)

    async def _start_and_confirm(self, request: RunRequest, invocation_id: str) -> EnrichRun | None:
        flow_run = await self._prefect.start(
            self._deployments[request.flow],
            request.parameters(),
            idempotency_key=request.id,
            labels=request.labels(),
            tags=[request.trigger],
        )
        run_id, ending = str(flow_run.id), Ending.of(flow_run.state)
        run = await self._in_thread(lambda: self._requests.start(request.id, run_id, invocation_id))
        if ending.status is None or datetime.now(UTC) - request.requested_at < A_RETRY:
            return run
        # Prefect took it long ago, nobody heard of it, and it is over: it stands for nothing now.
        await self._record_ending(run_id, ending)
        return None

    async def _is_under_way(self, run: EnrichRun) -> bool:
        """Whether a run whose row says so is under way; if it is not, its row is set right.

        A run that was cancelled before a worker took it up calls no hook that would say so. (One
        that runs and is silent, the database does not take for under way.)
        """
        queued_at = run.created_at
        if run.status is not RunStatus.QUEUED or queued_at is None:
            return True
        if datetime.now(UTC) - queued_at < PATIENCE_WITH_WORKERS:
            return True
        ending = await self._prefect.ending(run.id)
        if ending is None:
            ending = Ending(RunStatus.CRASHED, "Prefect does not know this run.")
        if ending.status is None:
            return True
        _logger.warning("Run %s is %s, although its row said queued", run.id, ending.status)
        await self._record_ending(run.id, ending)
        return False

    async def _record_ending(self, run_id: str, ending: Ending) -> None:
        await self._in_thread(
            lambda: self._runs.record(run_id, status=ending.status, error=ending.message)
        )

    async def _correct_audit(self, reservation: Reservation) -> None:
        """Correct the audit if the run was not started. A failure is only logged."""
        try:
            await self._in_thread(
                lambda: self._requests.correct_audit(reservation.invocation_id, *_UNAVAILABLE)
            )
        except SupabaseError as error:
            _logger.warning("Could not record in the audit that a run was not started: %s", error)
