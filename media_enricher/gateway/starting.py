"""From a request to a run: one run per bucket and prefix, however many ask, and none lost.

The database decides (`media_request_run`): it audits, limits and makes a *run request*, of which
there is one per flow, bucket and prefix at a time. Whoever finds a run request without a run starts
it, with the request's id as Prefect's idempotency key. So it does not matter who of many starts
it, nor whether an answer of Prefect's was lost: all of them end with the same run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from media_enricher.gateway.blocking import Blocking
from media_enricher.gateway.deployments import Ending, Prefect
from media_enricher.gateway.errors import ApiError, try_later, unavailable
from media_enricher.models import EnrichRun, FlowName, RunStatus
from media_enricher.run_requests import (
    Invocation,
    Quota,
    RequestLimits,
    RequestOutcome,
    Reservation,
    RunRequest,
)
from media_enricher.supabase.requests import RunRequests
from media_enricher.supabase.runs import RunTable

PATIENCE_WITH_WORKERS = timedelta(seconds=30)
"""A run that was queued longer ago is looked up at Prefect, before it is taken for under way."""
A_RETRY = timedelta(minutes=1)
"""Whoever asks again so soon wants that very run, if it has ended meanwhile, too."""
_TRIES = 5

_logger = logging.getLogger(__name__)


class Started(msgspec.Struct, frozen=True):
    """What became of a request.

    Attributes:
        run: the run that does it.
        was_under_way: it was started for somebody else.
    """

    run: EnrichRun
    was_under_way: bool


class Starter:
    """Starts runs."""

    def __init__(
        self,
        requests: RunRequests,
        runs: RunTable,
        prefect: Prefect,
        blocking: Blocking,
        limits: RequestLimits,
        deployments: Mapping[FlowName, str],
    ) -> None:
        self._requests = requests
        self._runs = runs
        self._prefect = prefect
        self._blocking = blocking
        self._limits = limits
        self._deployments = deployments
        self._starting: dict[str, asyncio.Task[EnrichRun | None]] = {}

    async def record(self, asked: Invocation, *, per_minute: int | None = None) -> Reservation:
        """Put a request on record, and reserve a run for it unless it is refused or a dry run.

        Args:
            asked: the request.
            per_minute: how often this caller may ask in a minute; None for any number.

        Raises:
            ApiError: 404 without such a bucket, 422 for a reused key, 429 beyond a limit, 503 if the
                database is away.
        """
        limits = msgspec.structs.replace(self._limits, requests_per_minute=per_minute)
        reservation = await self._blocking(lambda: self._requests.request(asked, limits))
        _raise_if_refused(reservation, asked)
        return reservation

    async def start(self, asked: Invocation, *, per_minute: int | None = None) -> Started:
        """Start a run, or find the one that is under way.

        Args:
            asked: the request.
            per_minute: how often this caller may ask in a minute; None for any number.

        Raises:
            ApiError: as `record` does, and 503 if Prefect is away; the same request may then be made
                again, and finds the run if Prefect took it after all.
        """
        for _ in range(_TRIES):
            reservation = await self.record(asked, per_minute=per_minute)
            try:
                run = await self._run_of(reservation)
            except ApiError as refusal:
                await self._settle(reservation, refusal)
                raise
            if run is not None:
                return Started(run, reservation.outcome is RequestOutcome.UNDER_WAY)
        raise unavailable("Runs end as fast as they are asked for.")

    async def _run_of(self, reservation: Reservation) -> EnrichRun | None:
        """The run of a reservation; None if one has to look again."""
        request, run = reservation.request, reservation.run
        if run is None and request is not None:
            return await self._started(request, reservation.invocation_id)
        if run is None or reservation.outcome is RequestOutcome.REPEATED:
            return run
        return run if await self._is_under_way(run) else None

    async def _started(self, request: RunRequest, invocation_id: str) -> EnrichRun | None:
        """Start the run of a request, or wait until another caller has, and then look again."""
        starting = self._starting.get(request.id)
        if starting is not None:
            await asyncio.shield(starting)
            return None
        starting = asyncio.create_task(self._start(request, invocation_id))
        self._starting[request.id] = starting
        starting.add_done_callback(lambda _: self._starting.pop(request.id))
        return await asyncio.shield(starting)

    async def _start(self, request: RunRequest, invocation_id: str) -> EnrichRun | None:
        run_id, ending = await self._prefect.start(
            self._deployments[request.flow],
            request.parameters(),
            idempotency_key=request.id,
            labels=request.labels(),
        )
        run = await self._blocking(lambda: self._requests.start(request.id, run_id, invocation_id))
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
        asked_at = run.created_at
        if run.status is not RunStatus.QUEUED or asked_at is None:
            return True
        if datetime.now(UTC) - asked_at < PATIENCE_WITH_WORKERS:
            return True
        ending = await self._prefect.ending(run.id)
        if ending is None:
            ending = Ending(RunStatus.CRASHED, "Prefect does not know this run.")
        if ending.status is None:
            return True
        _logger.warning("run %s was not under way: it is %s", run.id, ending.status)
        await self._record_ending(run.id, ending)
        return False

    async def _record_ending(self, run_id: str, ending: Ending) -> None:
        await self._blocking(
            lambda: self._runs.record(run_id, status=ending.status, error=ending.message)
        )

    async def _settle(self, reservation: Reservation, refusal: ApiError) -> None:
        """Tell the audit that the answer turned out otherwise; the caller is told in any case."""
        try:
            await self._blocking(
                lambda: self._requests.settle(
                    reservation.invocation_id, refusal.status, refusal.code
                )
            )
        except ApiError as second:
            _logger.warning("the audit does not know of an answer %s: %s", refusal.status, second)


_OF_WHOM: dict[Quota | None, str] = {
    Quota.USER: ": that of one user",
    Quota.TENANT: ": that of one tenant",
    Quota.ALL: ": that of all users together",
    Quota.SERVICE: ": that of the service key",
}


def _raise_if_refused(reservation: Reservation, asked: Invocation) -> None:
    match reservation.outcome:
        case RequestOutcome.UNKNOWN_BUCKET:
            raise ApiError(
                404,
                "unknown_bucket",
                f"There is no bucket {asked.bucket!r} in this project. Check its name in the "
                "Storage page; it is case-sensitive.",
                bucket=asked.bucket,
            )
        case RequestOutcome.RATE_LIMITED:
            raise try_later(
                429,
                "rate_limited",
                "You have asked for as many runs as one may in a minute.",
                reservation.retry_after or 60,
            )
        case RequestOutcome.TOO_MANY_RUNS:
            raise try_later(
                429,
                "too_many_runs",
                f"The limit of active runs is reached{_OF_WHOM.get(reservation.limited_by, '')}. "
                "Wait until one has ended, or cancel one.",
                reservation.retry_after or 30,
            )
        case RequestOutcome.TOO_MANY_OBJECTS:
            raise try_later(
                429,
                "too_many_objects",
                "As many single objects of your tenant are waiting as may. Ask for a backfill of "
                "your folder instead, or wait.",
                reservation.retry_after or 60,
            )
        case RequestOutcome.KEY_REUSED:
            raise ApiError(
                422,
                "key_reused",
                f"The Idempotency-Key {asked.idempotency_key!r} was used before, for something "
                "else. Use a new key for a new request.",
                field="Idempotency-Key",
                value=asked.idempotency_key,
            )
