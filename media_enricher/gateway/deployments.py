"""Asking Prefect: to start a deployment, what became of a run, to cancel one.

The only place of the gateway that imports Prefect. It answers in time or not at all: a request that
Prefect may have taken without our hearing of it is repeated with the same idempotency key.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

import httpx
import msgspec
import tenacity
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas import OrchestrationResult
from prefect.client.schemas.objects import DeploymentStatus, State, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL
from prefect.states import Cancelling

from media_enricher.gateway.errors import ApiError, unavailable
from media_enricher.labels import TRIGGER
from media_enricher.models import RunStatus

ANSWER_SECONDS = 2.0
"""Longer than this nobody waits for Prefect; a retry of the caller's finds the run."""
_AGAIN = {408, 425, 429, 500, 502, 503, 504}  # 500, too: a database that was locked just then

_STATUSES = {
    StateType.COMPLETED: RunStatus.COMPLETED,
    StateType.FAILED: RunStatus.FAILED,
    StateType.CANCELLED: RunStatus.CANCELLED,
    StateType.CRASHED: RunStatus.CRASHED,
}
_logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")


class Ending(msgspec.Struct, frozen=True):
    """How a flow run ended, as Prefect has it.

    Attributes:
        status: in the words of `media_enrich_runs`; None while it has not ended.
        message: of the state.
    """

    status: RunStatus | None
    message: str | None


class Prefect:
    """A long-lived client of the Prefect API. An async context manager.

    Its methods raise ApiError (503) if Prefect is away, slow, or lacks a deployment.
    """

    def __init__(self, ui_url: str | None = None) -> None:
        """Take the API's address from Prefect's own settings.

        Args:
            ui_url: where people reach the user interface; by default, where the API is.
        """
        self._ui_url = (ui_url or PREFECT_UI_URL.value() or "").rstrip("/") or None
        hooks = {"response": [_raise_if_busy]}
        self._client: PrefectClient = get_client({"event_hooks": hooks}, sync_client=False)
        self._ids: dict[str, UUID] = {}

    async def __aenter__(self) -> Self:
        if not PREFECT_API_URL.value():
            _logger.warning("PREFECT_API_URL is not set: no run can be started")
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def start(
        self,
        deployment: str,
        parameters: Mapping[str, Any],
        *,
        idempotency_key: str,
        labels: Mapping[str, str],
    ) -> tuple[str, Ending]:
        """Start a run of a deployment, or find the one that was started with this key.

        Args:
            deployment: by its full name, as `backfill/backfill`.
            parameters: of the flow.
            idempotency_key: the same key always gives the same run.
            labels: kept with the run, for its hooks.

        Returns:
            The id of the flow run, and how it ended in case it did.
        """

        async def create(deployment_id: UUID) -> tuple[str, Ending]:
            run = await self._client.create_flow_run_from_deployment(
                deployment_id,
                parameters=dict(parameters),
                idempotency_key=idempotency_key,
                labels=dict(labels),
                tags=[labels[TRIGGER]],
            )
            return str(run.id), _ending(run.state)

        async def start() -> tuple[str, Ending]:
            known = self._ids.get(deployment)
            if known:
                try:
                    return await create(known)
                except httpx.HTTPStatusError as error:
                    if error.response.status_code != httpx.codes.NOT_FOUND:
                        raise
                    del self._ids[deployment]  # it was deleted; there may be a new one of that name
            return await create(await self._id_of(deployment))

        return await self._answered(start)

    async def ending(self, run_id: str) -> Ending | None:
        """How a flow run ended, if it did; None if Prefect does not know the run."""

        async def read() -> Ending | None:
            try:
                return _ending((await self._client.read_flow_run(UUID(run_id))).state)
            except ObjectNotFound:
                return None

        return await self._answered(read)

    async def cancel(self, run_id: str) -> Ending | None:
        """Ask to cancel a run, as the Prefect UI does.

        Returns:
            How it ended, if it did at once, as a run does that nobody had taken up yet (no hook is
            called then); None if Prefect does not know the run.
        """

        async def ask() -> Ending | None:
            try:
                result: OrchestrationResult[Any] = await self._client.set_flow_run_state(
                    UUID(run_id), Cancelling()
                )
            except ObjectNotFound:
                return None
            return _ending(result.state)

        return await self._answered(ask)

    async def answers(self) -> None:
        """Do nothing, if Prefect is there."""

        async def greet() -> None:
            (await self._client.hello()).raise_for_status()

        await self._answered(greet)

    async def unready(self, deployments: Iterable[str]) -> list[str]:
        """Those of the deployments that no worker polls for."""

        async def look() -> list[str]:
            found = [(name, await self._deployment(name)) for name in deployments]
            return [name for name, each in found if each.status is not DeploymentStatus.READY]

        return await self._answered(look)

    def run_url(self, run_id: str) -> str | None:
        """Where the Prefect UI shows a run."""
        return f"{self._ui_url}/runs/flow-run/{run_id}" if self._ui_url else None

    async def _id_of(self, deployment: str) -> UUID:
        if deployment not in self._ids:
            self._ids[deployment] = (await self._deployment(deployment)).id
        return self._ids[deployment]

    async def _deployment(self, name: str) -> DeploymentResponse:
        try:
            return await self._client.read_deployment_by_name(name)
        except ObjectNotFound:
            raise unavailable(
                f"Prefect has no deployment {name!r}; the operator deploys it with "
                "`prefect deploy --all`.",
                seconds=30,
            ) from None

    async def _answered(self, ask: Callable[[], Awaitable[_Result]]) -> _Result:
        """Ask, again if need be, for as long as a caller waits."""
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_may_pass),
            wait=tenacity.wait_random_exponential(multiplier=0.05, max=0.5),
            reraise=True,
        )
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await retrying(ask)
        except ApiError:
            raise
        except TimeoutError:
            _logger.warning("Prefect did not answer within %s s", ANSWER_SECONDS)
            raise unavailable("Prefect, which runs the enrichment, does not answer.") from None
        except (httpx.HTTPError, PrefectException) as error:
            _logger.warning("Prefect did not do what was asked: %s", error)
            raise unavailable("Prefect, which runs the enrichment, refuses.") from error


async def _raise_if_busy(response: httpx.Response) -> None:
    """Raise what may pass at once: Prefect's client would wait for two seconds, and then return it.

    On SQLite, Prefect answers 503 whenever two transactions get in each other's way.
    """
    if response.status_code in _AGAIN:
        await response.aread()
        response.raise_for_status()


def _ending(state: State[Any] | None) -> Ending:
    return Ending(_STATUSES.get(state.type), state.message) if state else Ending(None, None)


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in _AGAIN
    return isinstance(error, httpx.TransportError)
