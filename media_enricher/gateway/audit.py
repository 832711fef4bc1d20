"""The audit of requests to start runs: whoever makes one, allowed or not, is on record."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec
from fastapi import Request

from media_enricher.gateway.auth import Caller
from media_enricher.gateway.dependencies import Dependencies, Deps
from media_enricher.gateway.errors import ApiError, invalid_value
from media_enricher.gateway.permissions import is_rate_limited, require_may_trigger
from media_enricher.models import FlowName
from media_enricher.orchestration.run_starter import ReservationDeniedError, Started
from media_enricher.run_requests import Invocation, Invoker, Refused, RequestedObject, RequestRoute
from media_enricher.supabase.errors import SupabaseError

_LONGEST_KEY = 255
_Result = TypeVar("_Result")
_logger = logging.getLogger(__name__)


class AuditedRequest:
    """A request to start a run, and its row in the audit, which fills while it is answered.

    Attributes:
        caller: who makes it; None before that is known.
        invocation: what the audit's row says so far.
    """

    def __init__(self, deps: Dependencies, request: Request, route: RequestRoute) -> None:
        self._deps = deps
        self._is_on_record = False
        self.caller: Caller | None = None
        self.invocation = Invocation(
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
        """Note who makes the request."""
        self.caller = caller
        self.note(
            caller=Invoker(
                role=caller.role,
                user_id=caller.user_id,
                tenant_id=caller.tenant_id,
                is_admin=caller.is_admin,
            )
        )
        return caller

    def note(self, **fields: Any) -> None:
        """Note fields of the `Invocation`."""
        self.invocation = msgspec.structs.replace(self.invocation, **fields)

    def note_unchecked(self, payload: Mapping[str, Any]) -> None:
        """Note what was sent before it is checked, for the audit of what is refused."""
        names = ("bucket", "prefix", "mode", "depth")
        self.note(**{name: payload[name] for name in names if isinstance(payload.get(name), str)})
        if isinstance(path := payload.get("path"), str):
            self.note(objects=[RequestedObject(path=path)])

    async def start(self, **fields: Any) -> Started:
        """Start the run, or find the one that is under way; the database audits the request.

        Args:
            fields: of the `Invocation`, to be noted before.

        Raises:
            ReservationDeniedError, NoRunReservedError, PrefectApiError, SupabaseError: as
                `RunStarter.start` does.
        """
        self.note(**fields)
        return await self._on_record(self._deps.starter.start)

    async def record(self) -> None:
        """Put a request on record that needs no run, if it is within the limits.

        Raises:
            ReservationDeniedError, SupabaseError: as `RunStarter.reserve` does.
        """
        await self._on_record(self._deps.starter.reserve)

    async def record_refusal(self, error: ApiError) -> None:
        """Put a refusal on record, unless the database refused it itself. Never raises.

        Of a caller whom nobody knows, nothing is kept: such requests are only counted.
        """
        if self._is_on_record or self.caller is None:
            return
        self.note(refusal=Refused(http_status=error.status, reason=error.code))
        try:
            await self._deps.starter.reserve(self.invocation)
        except (SupabaseError, ReservationDeniedError) as second:
            _logger.warning(
                "Could not record in the audit a request answered %s: %s", error.status, second
            )

    async def _on_record(self, ask: Callable[..., Awaitable[_Result]]) -> _Result:
        self._is_on_record = True
        limit = self._deps.settings.requests_per_minute
        is_limited = self.caller is None or is_rate_limited(self.caller)
        return await ask(self.invocation, per_minute=limit if is_limited else None)


def audited(route: RequestRoute) -> Callable[..., Awaitable[AuditedRequest]]:
    """A dependency of a route: its request, made by a caller who may start runs.

    Raises:
        ApiError: 401, 403 or 422, when the dependency runs.
    """

    async def begin(request: Request, deps: Deps) -> AuditedRequest:
        audited_request = open_audited(request, deps, route)
        require_may_trigger(audited_request.identify(await deps.caller(request)), deps.settings)
        audited_request.note(idempotency_key=idempotency_key(request))
        return audited_request

    return begin


def open_audited(request: Request, deps: Dependencies, route: RequestRoute) -> AuditedRequest:
    """A request by a caller who is not known yet; a refusal after the caller is, is on record."""
    audited_request = AuditedRequest(deps, request, route)
    audited_request.note_unchecked(request.query_params)
    request.state.audited = audited_request
    return audited_request


async def record_refusal(request: Request, error: ApiError) -> None:
    """Put a refusal on record if the request was one to start a run."""
    audited_request: AuditedRequest | None = getattr(request.state, "audited", None)
    if audited_request is not None:
        await audited_request.record_refusal(error)


def idempotency_key(request: Request) -> str | None:
    """The key that the caller gave the request, or None.

    Raises:
        ApiError: 422.
    """
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= _LONGEST_KEY and key.isprintable()):
        raise invalid_value("Idempotency-Key", key, f"use 1 to {_LONGEST_KEY} printable characters")
    return key
