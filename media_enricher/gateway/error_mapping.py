"""What the gateway answers when a part below it fails: errors of Supabase, Prefect and the starter.

Routes let those errors pass; the app maps them here, in this one place. Reasons of Supabase and
Prefect are for the log, and not for callers.
"""

from __future__ import annotations

import logging
from typing import TypeAlias

from media_enricher.gateway.errors import ApiError, retry_later, unavailable
from media_enricher.orchestration.prefect_api import PrefectApiError, UnknownDeploymentError
from media_enricher.orchestration.run_starter import NoRunReservedError, ReservationDeniedError
from media_enricher.run_requests import Quota, RequestLimits, RequestOutcome
from media_enricher.supabase.errors import SupabaseError

BackendError: TypeAlias = (
    SupabaseError | PrefectApiError | ReservationDeniedError | NoRunReservedError
)
BACKEND_ERRORS = (SupabaseError, PrefectApiError, ReservationDeniedError, NoRunReservedError)

_OPERATOR_SECONDS = 30
"""After which to try again where only the operator can help."""
_logger = logging.getLogger(__name__)


def to_api_error(error: BackendError) -> ApiError:
    """The answer that an error of a part below stands for."""
    match error:
        case SupabaseError():
            return _from_supabase(error)
        case UnknownDeploymentError():
            return unavailable(str(error), _OPERATOR_SECONDS)
        case ReservationDeniedError():
            return _from_denial(error)
        case PrefectApiError() | NoRunReservedError():
            return unavailable(str(error))


def _from_supabase(error: SupabaseError) -> ApiError:
    _logger.warning("Supabase did not do what was asked: %s", error)
    if error.is_transient:
        return unavailable(
            "Supabase's database or Storage does not answer.", error.retry_after or 2
        )
    return unavailable(
        "Supabase refused the gateway's request. The operator finds the reason in the log.",
        _OPERATOR_SECONDS,
    )


def _from_denial(error: ReservationDeniedError) -> ApiError:
    invocation, reservation, limits = error.invocation, error.reservation, error.limits
    match reservation.outcome:
        case RequestOutcome.UNKNOWN_BUCKET:
            return ApiError(
                404,
                "unknown_bucket",
                f"This project has no bucket {invocation.bucket!r}. Check the name in Supabase's "
                "Storage page; it is case-sensitive.",
                bucket=invocation.bucket,
            )
        case RequestOutcome.KEY_REUSED:
            return ApiError(
                422,
                "key_reused",
                f"The Idempotency-Key {invocation.idempotency_key!r} was used before for another "
                "request. Use a new key for each new request.",
                field="Idempotency-Key",
                value=invocation.idempotency_key,
            )
        case RequestOutcome.RATE_LIMITED:
            return retry_later(
                429,
                "rate_limited",
                f"The limit of {limits.requests_per_minute} requests in a minute is reached. "
                "Wait before the next one.",
                reservation.retry_after or 60,
            )
        case RequestOutcome.TOO_MANY_RUNS:
            return retry_later(
                429,
                "too_many_runs",
                f"The limit of {_active_runs(limits, reservation.limited_by)} is reached. "
                "Wait until one has ended, or cancel one.",
                reservation.retry_after or 30,
            )
        case RequestOutcome.TOO_MANY_OBJECTS:
            return retry_later(
                429,
                "too_many_objects",
                f"The limit of {limits.waiting_objects} waiting objects of one tenant is reached. "
                "Start a backfill of your tenant's folder instead, or wait.",
                reservation.retry_after or 60,
            )
        case _:
            raise AssertionError(f"{reservation.outcome} is no denial")


def _active_runs(limits: RequestLimits, quota: Quota | None) -> str:
    """A quota of active runs, to be named in a sentence."""
    match quota:
        case Quota.USER:
            return f"{limits.user_active_runs} active runs of one user"
        case Quota.TENANT:
            return f"{limits.tenant_active_runs} active runs of one tenant"
        case Quota.ALL:
            return f"{limits.active_runs} active runs of all users together"
        case Quota.SERVICE:
            return f"{limits.service_active_runs} active runs of the service key"
        case None:
            return "active runs"
