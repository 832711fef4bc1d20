"""What the routes share, wired in this one place: settings, the caller, Supabase, Prefect."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic
from typing import Annotated, Any

from fastapi import Depends, Request

from media_enricher.gateway.auth import WEBHOOK, Authenticator, Caller, is_same_secret
from media_enricher.gateway.errors import ApiError, retry_later
from media_enricher.gateway.renditions import Renditions
from media_enricher.gateway.signing_keys import SigningKeys
from media_enricher.gateway.storage_access import StorageAccess
from media_enricher.gateway.unauthenticated_limiter import UnauthenticatedLimiter
from media_enricher.models import FlowName, Selection
from media_enricher.orchestration.prefect_api import PrefectApi
from media_enricher.orchestration.run_starter import RunStarter
from media_enricher.orchestration.supabase_threads import SupabaseThreads
from media_enricher.run_cost import Estimate
from media_enricher.run_requests import RequestLimits
from media_enricher.settings import GatewaySettings, Settings, SupabaseSettings
from media_enricher.supabase.assets import AssetTable
from media_enricher.supabase.bucket import Bucket, buckets
from media_enricher.supabase.client import connect
from media_enricher.supabase.library import AssetLibrary
from media_enricher.supabase.own_buckets import OwnBuckets, configured_buckets, refusal
from media_enricher.supabase.reading import UserReading
from media_enricher.supabase.requests import RunRequests
from media_enricher.supabase.runs import RunTable

FUNCTIONS = "/functions/v1"
"""Where Supabase serves functions, and so where its clients look for them."""
ANSWER_SECONDS = 2.0
"""How long a caller waits for the database, or for Prefect, retries included."""
READ_SECONDS = 5.0
"""The longest silence of the database in one call."""
COUNT_SECONDS = 60.0
COUNTS_AT_ONCE = 2
"""Counting what is pending reads a whole bucket's index."""
SHARED_QUEUE_OBJECTS = 200
"""So many of a tenant's uploads wait with those of others; the rest have their own queue."""

_logger = logging.getLogger(__name__)


class Dependencies:
    """Everything that answering needs. Make them with `open_dependencies`."""

    def __init__(
        self,
        settings: GatewaySettings,
        enricher: Settings,
        project: SupabaseSettings,
        prefect: PrefectApi,
        authenticator: Authenticator,
    ) -> None:
        client = connect(project, answer_seconds=READ_SECONDS)
        self.settings = settings
        self.swept_buckets = enricher.buckets
        self.project = project
        self.prefect = prefect
        self.in_thread = SupabaseThreads(patience_seconds=ANSWER_SECONDS)
        self.runs = RunTable(client)
        self.assets = AssetTable(client)
        self.library = AssetLibrary(client)
        self._own_buckets = OwnBuckets(client, configured_buckets(enricher))
        self.deployments = {
            flow: enricher.deployment(flow) for flow in (FlowName.BACKFILL, FlowName.ENRICH_OBJECT)
        }
        self._requests = RunRequests(client)
        self.unauthenticated = UnauthenticatedLimiter(
            settings.unauthenticated_per_minute, self._count_unauthenticated
        )
        self.storage_access = StorageAccess(UserReading(client), self.in_thread, self.buckets)
        self.starter = RunStarter(
            self._requests,
            self.runs,
            prefect,
            self.in_thread,
            RequestLimits(
                active_runs=settings.active_runs,
                tenant_active_runs=settings.tenant_active_runs,
                user_active_runs=settings.user_active_runs,
                service_active_runs=settings.service_active_runs,
                waiting_objects=settings.waiting_objects,
                shared_queue_objects=SHARED_QUEUE_OBJECTS,
                silence_seconds=enricher.dead_after_seconds,
            ),
            self.deployments,
        )
        self.renditions = Renditions(
            self.bucket,
            self.in_thread,
            seconds=settings.picture_seconds,
            is_wanted=settings.image_transformation,
        )
        self._client = client
        self._in_counting_thread = SupabaseThreads(COUNTS_AT_ONCE, patience_seconds=COUNT_SECONDS)
        self._counting_callers: set[str] = set()
        self._last_count_seconds = 1.0
        self._counted_assets = AssetTable(connect(project, answer_seconds=COUNT_SECONDS))
        self._authenticator = authenticator

    async def caller(self, request: Request) -> Caller:
        """Who makes a request.

        Raises:
            ApiError: 401, or 503 if the project's keys can't be had.
        """
        return await self._authenticator.authenticate(request.headers.get("authorization"))

    async def caller_or_webhook(self, request: Request) -> Caller:
        """Who makes a request that a database webhook may make, too, with its shared secret.

        Raises:
            ApiError: 401, or 503 if the project's keys can't be had.
        """
        given = request.headers.get("x-webhook-secret")
        if given is None:
            return await self.caller(request)
        expected = self.settings.webhook_secret
        if expected is None or not is_same_secret(given, expected.get_secret_value()):
            raise ApiError(
                401,
                "bad_token",
                "The x-webhook-secret is wrong. Send the value of MEDIA_ENRICHER_WEBHOOK_SECRET.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return WEBHOOK

    async def was_answered_with(self, caller: Caller, run_id: str) -> bool:
        """Whether this user's request was answered with this run.

        A tenant's user may be given a run over the whole bucket, and may then watch that one.

        Raises:
            SupabaseError: the database is away.
        """
        user_id = caller.user_id
        if user_id is None:
            return False
        return await self.in_thread(lambda: self._requests.was_returned(run_id, user_id))

    async def estimate(
        self, caller: Caller, selection: Selection, limit: int | None, max_bytes: int | None
    ) -> Estimate:
        """What a run with these limits would process, and what it would cost.

        Raises:
            ApiError: 429 while the caller, or another of the same tenant, is counting.
            SupabaseError: the database is away.
        """
        who = caller.tenant_id or caller.user_id or caller.role
        if who in self._counting_callers and not caller.is_service:
            raise retry_later(
                429,
                "rate_limited",
                "A dry run of yours, or of your tenant's, is being counted. Wait for its answer.",
                self._last_count_seconds,
            )
        self._counting_callers.add(who)
        began = monotonic()
        try:
            return await self._in_counting_thread(
                lambda: self._counted_assets.estimate(selection, limit=limit, max_bytes=max_bytes)
            )
        finally:
            self._counting_callers.discard(who)
            self._last_count_seconds = monotonic() - began

    async def _count_unauthenticated(self, requests: Mapping[str, int]) -> None:
        await self.in_thread(
            lambda: self._requests.count_unauthenticated(requests), patience_seconds=0
        )

    async def refuse_own_bucket(self, bucket: str) -> None:
        """Refuse runs over buckets that runs themselves write to.

        Raises:
            ApiError: 400 `own_bucket`.
            SupabaseError: the database is away.
        """
        if bucket in await self.in_thread(self._own_buckets.names):
            raise ApiError(400, "own_bucket", refusal(bucket), field="bucket", value=bucket)

    async def followed(self, buckets: Iterable[str]) -> set[str]:
        """Those of these buckets whose changes are followed; never one of our own.

        What a run writes there would start the next run, without end.

        Raises:
            SupabaseError: the database is away.
        """
        swept = {each for each in buckets if not self.swept_buckets or each in self.swept_buckets}
        return swept - await self.in_thread(self._own_buckets.names) if swept else swept

    def bucket(self, name: str) -> Bucket:
        """One Storage bucket."""
        return Bucket(self._client, name)

    def buckets(self) -> list[str]:
        """The buckets that can be worked on: all but our own."""
        own = self._own_buckets.names()
        return [name for name in self.stored_buckets() if name not in own]

    def stored_buckets(self) -> list[str]:
        """All buckets that Storage has, our own included."""
        return buckets(self._client)

    def address(self, request: Request, path: str) -> str:
        """The address of a route, as the caller reaches the gateway.

        Without a `public_url`, one without a host if the caller named a host that may not be ours.
        """
        base = self.settings.public_url
        if base is None:
            mount = FUNCTIONS if request.url.path.startswith(f"{FUNCTIONS}/") else ""
            base = f"{own_origin(request.scope)}{mount}"
        return f"{base}/media-enricher/{path}"


@asynccontextmanager
async def open_dependencies(
    settings: GatewaySettings, enricher: Settings, project: SupabaseSettings
) -> AsyncIterator[Dependencies]:
    """The dependencies, connected to Supabase and Prefect while the block runs."""
    if not PrefectApi.has_address():
        _logger.warning("PREFECT_API_URL is not set: no run can be started")
    async with AsyncExitStack() as stack:
        prefect = await stack.enter_async_context(
            PrefectApi(patience_seconds=ANSWER_SECONDS, ui_url=settings.prefect_ui_url)
        )
        keys = await stack.enter_async_context(SigningKeys(project.url))
        authenticator = Authenticator(project, settings, keys)
        deps = Dependencies(settings, enricher, project, prefect, authenticator)
        await stack.enter_async_context(deps.unauthenticated.recording())
        yield deps


def own_origin(scope: Mapping[str, Any]) -> str:
    """Scheme, host and port as the caller named them, if they are surely ours; '' otherwise.

    The Host header is the caller's to choose. It is ours if it names the port that we listen on,
    and the loopback interface or the very address that the connection came in by.
    """
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    server = scope.get("server")
    if server is None:
        return ""
    address, port = server
    shown = f"[{address}]" if ":" in address else address
    names = {f"{name}:{port}" for name in ("localhost", "127.0.0.1", "[::1]", shown)}
    return f"{scope['scheme']}://{host}" if host in names else ""


def _dependencies(request: Request) -> Dependencies:
    deps: Dependencies = request.app.state.dependencies
    return deps


Deps = Annotated[Dependencies, Depends(_dependencies)]
"""A parameter of a route: what all of them share."""


async def _signed_in(request: Request, deps: Deps) -> Caller:
    return await deps.caller(request)


SignedIn = Annotated[Caller, Depends(_signed_in)]
"""A parameter of a route: who makes the request."""
