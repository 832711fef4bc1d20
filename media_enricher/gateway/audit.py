"""A request to trigger, as far as it got: whoever makes it, allowed or not, is on record."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec
from fastapi import Request

from media_enricher.gateway.auth import Caller
from media_enricher.gateway.dependencies import Dependencies, Deps
from media_enricher.gateway.errors import ApiError
from media_enricher.gateway.permissions import is_rate_limited, require_may_trigger
from media_enricher.gateway.schemas.requests import invalid
from media_enricher.gateway.starting import Started
from media_enricher.models import FlowName
from media_enricher.run_requests import AskedObject, Invocation, Invoker, Refused, RequestRoute

_LONGEST_KEY = 255
_Result = TypeVar("_Result")
_logger = logging.getLogger(__name__)


class AuditedRequest:
    """What is known of a request to trigger while it is answered.

    Attributes:
        caller: who makes it; None before that is known.
        asked: what its row in the audit says, as it fills.
    """

    def __init__(self, deps: Dependencies, request: Request, route: RequestRoute) -> None:
        self._dependencies = deps
        self._is_on_record = False
        self.caller: Caller | None = None
        self.asked = Invocation(
            route=route,
            flow=FlowName.BACKFILL,
            ip_address=request.client.host if request.client else None,
            user_agent=request.headers.get("user-agent"),
        )

    def require_caller(self) -> Caller:
        """Who makes the request, which is known by now."""
        if self.caller is None:
            raise AssertionError("nobody was identified")
        return self.caller

    def identify(self, caller: Caller) -> Caller:
        """Take note of who makes the request."""
        self.caller = caller
        self.told(
            caller=Invoker(
                role=caller.role,
                user_id=caller.user_id,
                tenant_id=caller.tenant_id,
                is_admin=caller.is_admin,
            )
        )
        return caller

    def told(self, **fields: Any) -> None:
        """Take note of what is asked."""
        self.asked = msgspec.structs.replace(self.asked, **fields)

    def noted(self, fields: Mapping[str, Any]) -> None:
        """Take note of fields before they are checked, for the audit of what is refused."""
        names = ("bucket", "prefix", "mode", "depth")
        self.told(**{name: fields[name] for name in names if isinstance(fields.get(name), str)})
        if isinstance(path := fields.get("path"), str):
            self.told(objects=[AskedObject(path=path)])

    async def start(self, **fields: Any) -> Started:
        """Ask for the run, and return it.

        Raises:
            ApiError: as `Starter.start` does.
        """
        self.told(**fields)
        return await self._on_record(self._dependencies.starter.start)

    async def record(self, **fields: Any) -> None:
        """Ask for leave, without a run.

        Raises:
            ApiError: as `Starter.record` does.
        """
        self.told(**fields)
        await self._on_record(self._dependencies.starter.record)

    async def refused(self, refusal: ApiError) -> None:
        """Put a refusal on record, unless the database gave it itself. Never raises.

        Of a caller whom nobody knows, nothing is kept: such requests are only counted.
        """
        if self._is_on_record or self.caller is None:
            return
        self.told(refusal=Refused(http_status=refusal.status, reason=refusal.code))
        try:
            await self._dependencies.starter.record(self.asked)
        except ApiError as second:
            _logger.warning("a request answered %s is not in the audit: %s", refusal.status, second)

    async def _on_record(self, ask: Callable[..., Awaitable[_Result]]) -> _Result:
        self._is_on_record = True
        limit = self._dependencies.settings.requests_per_minute
        is_limited = self.caller is None or is_rate_limited(self.caller)
        return await ask(self.asked, per_minute=limit if is_limited else None)


def attempt(route: RequestRoute) -> Callable[..., Awaitable[AuditedRequest]]:
    """A dependency: the attempt at a route, by a caller who may trigger.

    Raises:
        ApiError: 401 or 403, when the dependency is asked for.
    """

    async def begin(request: Request, deps: Deps) -> AuditedRequest:
        begun = opened(request, deps, route)
        require_may_trigger(begun.identify(await deps.caller(request)), deps.settings)
        begun.told(idempotency_key=idempotency_key(request))
        return begun

    return begin


def opened(request: Request, deps: Dependencies, route: RequestRoute) -> AuditedRequest:
    """An attempt of which nothing is known yet; a refusal from here on is on record."""
    begun = AuditedRequest(deps, request, route)
    begun.noted(request.query_params)
    request.state.attempt = begun
    return begun


async def put_on_record(request: Request, refusal: ApiError) -> None:
    """Put a refusal on record if the request was one to trigger."""
    begun: AuditedRequest | None = getattr(request.state, "attempt", None)
    if begun is not None:
        await begun.refused(refusal)


def idempotency_key(request: Request) -> str | None:
    """The key that the caller gave the request, or None.

    Raises:
        ApiError: 422.
    """
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= _LONGEST_KEY and key.isprintable()):
        raise invalid("Idempotency-Key", key, f"1 to {_LONGEST_KEY} printable characters")
    return key
