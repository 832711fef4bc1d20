"""What is answered when Supabase, Prefect or the starter of runs fails: the sentence says why."""

from __future__ import annotations

import pytest

from media_enricher.gateway.error_mapping import BackendError, to_api_error
from media_enricher.models import ErrorCode, FlowName
from media_enricher.orchestration.prefect_api import PrefectApiError, UnknownDeploymentError
from media_enricher.orchestration.run_starter import NoRunReservedError, ReservationDeniedError
from media_enricher.run_requests import (
    Invocation,
    Quota,
    RequestLimits,
    RequestOutcome,
    RequestRoute,
    Reservation,
)
from media_enricher.supabase.errors import SupabaseError

LIMITS = RequestLimits(
    requests_per_minute=3,
    active_runs=40,
    tenant_active_runs=20,
    user_active_runs=10,
    service_active_runs=30,
    waiting_objects=5000,
    silence_seconds=60,
)


def denied(outcome: RequestOutcome, limited_by: Quota | None = None) -> ReservationDeniedError:
    invocation = Invocation(
        route=RequestRoute.BACKFILL, flow=FlowName.BACKFILL, bucket="photos", idempotency_key="key"
    )
    reservation = Reservation(
        outcome=outcome, invocation_id=invocation.invocation_id, limited_by=limited_by
    )
    return ReservationDeniedError(invocation, reservation, LIMITS)


@pytest.mark.parametrize(
    ("error", "status", "code", "said"),
    [
        (denied(RequestOutcome.UNKNOWN_BUCKET), 404, "unknown_bucket", "no bucket 'photos'"),
        (denied(RequestOutcome.KEY_REUSED), 422, "key_reused", "Idempotency-Key 'key'"),
        (denied(RequestOutcome.RATE_LIMITED), 429, "rate_limited", "limit of 3 requests in a min"),
        (denied(RequestOutcome.TOO_MANY_OBJECTS), 429, "too_many_objects", "limit of 5000 waiting"),
        *(
            (denied(RequestOutcome.TOO_MANY_RUNS, quota), 429, "too_many_runs", said)
            for quota, said in (
                (Quota.USER, "The limit of 10 active runs of one user is reached."),
                (Quota.TENANT, "The limit of 20 active runs of one tenant is reached."),
                (Quota.ALL, "The limit of 40 active runs of all users together is reached."),
                (Quota.SERVICE, "The limit of 30 active runs of the service key is reached."),
                (None, "The limit of active runs is reached."),
            )
        ),
        (NoRunReservedError(), 503, "unavailable", "Could not reserve a run after 5 attempts. Try"),
        (PrefectApiError("Prefect does not answer."), 503, "unavailable", "Prefect does not"),
        (UnknownDeploymentError("No deployment 'x'."), 503, "unavailable", "No deployment 'x'."),
        (SupabaseError(ErrorCode.TIMEOUT, "secret"), 503, "unavailable", "does not answer"),
        (SupabaseError(ErrorCode.FORBIDDEN, "secret"), 503, "unavailable", "in the log"),
    ],
)
def test_each_error_has_a_code_and_a_sentence(
    error: BackendError, status: int, code: str, said: str
) -> None:
    answer = to_api_error(error)

    assert (answer.status, answer.code) == (status, code)
    assert said in answer.error
    assert "secret" not in answer.error, "what Supabase says is for the log"
    assert ("Retry-After" in answer.headers) is (status in {429, 503})


def test_each_denial_of_the_database_has_an_answer() -> None:
    denials = {
        outcome
        for outcome in RequestOutcome
        if outcome
        not in {
            RequestOutcome.REFUSED,
            RequestOutcome.COUNTED,
            RequestOutcome.REPEATED,
            RequestOutcome.UNDER_WAY,
            RequestOutcome.QUEUED,
        }
    }
    for outcome in denials:
        assert 400 <= to_api_error(denied(outcome)).status < 500
