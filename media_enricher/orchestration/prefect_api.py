"""Prefect's API, as far as starting and watching runs needs it, with answers in bounded time.

A request that Prefect may have carried out although its answer was lost is repeated with the same
idempotency key.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

import httpx
import msgspec
import tenacity
from anyio.from_thread import start_blocking_portal
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas import OrchestrationResult
from prefect.client.schemas.objects import DeploymentStatus, FlowRun, State, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL
from prefect.states import Cancelling

from media_enricher.models import RunStatus

FLOW_PATIENCE_SECONDS = 60.0
"""How long a flow tries before it gives up: nobody waits for it."""

_NO_LABELS: Mapping[str, str] = MappingProxyType({})
_RETRIED = {408, 425, 429, 500, 502, 503, 504}  # 500, too: a database that was locked just then
_STATUSES = {
    StateType.COMPLETED: RunStatus.COMPLETED,
    StateType.FAILED: RunStatus.FAILED,
    StateType.CANCELLED: RunStatus.CANCELLED,
    StateType.CRASHED: RunStatus.CRASHED,
}
_logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")


class PrefectApiError(Exception):
    """Prefect did not do what was asked. What it said is in the log, and the error's cause."""


class UnknownDeploymentError(PrefectApiError):
    """Prefect has no deployment of that name."""


class Ending(msgspec.Struct, frozen=True):
    """How a flow run ended, as Prefect has it.

    Attributes:
        status: in the words of `media_enrich_runs`; None while it has not ended.
        message: of the state.
    """

    status: RunStatus | None
    message: str | None

    @classmethod
    def of(cls, state: State[Any] | None) -> Self:
        """The ending that a state is, or is not."""
        return cls(_STATUSES.get(state.type), state.message) if state else cls(None, None)


class PrefectApi:
    """A long-lived client of the Prefect API. An async context manager.

    Its methods raise PrefectApiError if Prefect is away, slow, refuses, or lacks a deployment.
    """

    def __init__(self, *, patience_seconds: float, ui_url: str | None = None) -> None:
        """Take the API's address from Prefect's own settings.

        Args:
            patience_seconds: the longest that a method takes, retries included.
            ui_url: where people reach the user interface; by default, where the API is.
        """
        self._patience_seconds = patience_seconds
        self._ui_url = (ui_url or PREFECT_UI_URL.value() or "").rstrip("/") or None
        hooks = {"response": [_raise_if_busy]}
        self._client: PrefectClient = get_client({"event_hooks": hooks}, sync_client=False)
        self._ids: dict[str, UUID] = {}

    @staticmethod
    def has_address() -> bool:
        """Whether the settings name a server; without one, Prefect's client starts its own."""
        return bool(PREFECT_API_URL.value())

    async def __aenter__(self) -> Self:
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
        labels: Mapping[str, str] = _NO_LABELS,
        tags: Sequence[str] = (),
    ) -> FlowRun:
        """Start a run of a deployment, or find the one that was started with this key.

        Args:
            deployment: by its full name, as `backfill/backfill`.
            parameters: of the flow; those left out are the deployment's.
            idempotency_key: the same key always gives the same run, even one that has ended.
            labels: kept with the run, for its hooks.
            tags: on top of the deployment's.

        Returns:
            The flow run as Prefect has it now.

        Raises:
            UnknownDeploymentError: there is no such deployment.
        """

        async def create(deployment_id: UUID) -> FlowRun:
            return await self._client.create_flow_run_from_deployment(
                deployment_id,
                parameters=dict(parameters),
                idempotency_key=idempotency_key,
                labels=dict(labels),
                tags=list(tags),
            )

        async def start() -> FlowRun:
            known = self._ids.get(deployment)
            if known:
                try:
                    return await create(known)
                except httpx.HTTPStatusError as error:
                    if error.response.status_code != httpx.codes.NOT_FOUND:
                        raise
                    del self._ids[deployment]  # it was deleted; there may be a new one of that name
            return await create(await self._id_of(deployment))

        return await self._with_retries(start)

    async def ending(self, run_id: str) -> Ending | None:
        """How a flow run ended, if it did; None if Prefect does not know the run."""

        async def read() -> Ending | None:
            try:
                return Ending.of((await self._client.read_flow_run(UUID(run_id))).state)
            except ObjectNotFound:
                return None

        return await self._with_retries(read)

    async def cancel(self, run_id: str) -> Ending | None:
        """Ask to cancel a run, as the Prefect UI does.

        Returns:
            How it ended, if it did at once, as a run does that no worker had taken up yet (no hook
            is called then); None if Prefect does not know the run.
        """

        async def cancel() -> Ending | None:
            try:
                result: OrchestrationResult[Any] = await self._client.set_flow_run_state(
                    UUID(run_id), Cancelling()
                )
            except ObjectNotFound:
                return None
            return Ending.of(result.state)

        return await self._with_retries(cancel)

    async def ping(self) -> None:
        """Do nothing, if Prefect is there."""

        async def hello() -> None:
            (await self._client.hello()).raise_for_status()

        await self._with_retries(hello)

    async def without_worker(self, deployments: Iterable[str]) -> list[str]:
        """Those of the deployments that no worker polls for.

        Raises:
            UnknownDeploymentError: there is no such deployment.
        """

        async def look() -> list[str]:
            found = [(name, await self._deployment(name)) for name in deployments]
            return [name for name, each in found if each.status is not DeploymentStatus.READY]

        return await self._with_retries(look)

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
            raise UnknownDeploymentError(
                f"Prefect has no deployment {name!r}. Create it with `media-enricher setup`."
            ) from None

    async def _with_retries(self, ask: Callable[[], Awaitable[_Result]]) -> _Result:
        """Ask, again if need be, for as long as the patience lasts."""
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_may_pass),
            wait=tenacity.wait_random_exponential(multiplier=0.05, max=0.5),
            reraise=True,
        )
        try:
            async with asyncio.timeout(self._patience_seconds):
                return await retrying(ask)
        except TimeoutError as error:
            _logger.warning("Prefect did not answer within %g s", self._patience_seconds)
            raise PrefectApiError("Prefect does not answer.") from error
        except (httpx.HTTPError, PrefectException) as error:
            _logger.warning("Prefect refused a request: %s", error)
            raise PrefectApiError("Prefect refused the request.") from error


def start_deployment(
    deployment: str,
    parameters: Mapping[str, Any],
    *,
    idempotency_key: str,
    labels: Mapping[str, str] = _NO_LABELS,
    tags: Sequence[str] = (),
) -> FlowRun:
    """`PrefectApi.start`, for flows, which are synchronous.

    Raises:
        UnknownDeploymentError: there is no such deployment.
        PrefectApiError: Prefect is away, or refuses the parameters.
    """

    async def start() -> FlowRun:
        async with PrefectApi(patience_seconds=FLOW_PATIENCE_SECONDS) as prefect:
            return await prefect.start(
                deployment, parameters, idempotency_key=idempotency_key, labels=labels, tags=tags
            )

    return run_async(start)


def run_async(function: Callable[[], Awaitable[_Result]]) -> _Result:
    """Call an async function from a flow, whether or not an event loop runs in its thread.

    It runs in a loop, and a thread, of its own, with the caller's context: Prefect's settings
    are there.
    """
    with start_blocking_portal() as portal:
        return portal.call(function)


async def _raise_if_busy(response: httpx.Response) -> None:
    """Raise what may pass at once: Prefect's client would wait for two seconds, and then return it.

    On SQLite, Prefect answers 503 whenever two transactions get in each other's way.
    """
    if response.status_code in _RETRIED:
        await response.aread()
        response.raise_for_status()


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in _RETRIED
    return isinstance(error, httpx.TransportError)
