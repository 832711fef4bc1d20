"""Request runs from within a flow, as the gateway does: one per flow, bucket and prefix."""

from __future__ import annotations

import httpx
from prefect import get_run_logger

from media_enricher.models import FlowName, Trigger
from media_enricher.orchestration import resources
from media_enricher.orchestration.start import UnknownDeploymentError, start_deployment
from media_enricher.run_requests import Invocation, Invoker, RequestLimits, RequestRoute
from media_enricher.settings import settings

_UNAVAILABLE = (503, "unavailable")
"""What the audit records if Prefect does not accept a run; the gateway responds the same."""


def request_run(flow: FlowName, bucket: str, prefix: str = "") -> str | None:
    """Start a run, unless one is under way; for a backfill, anywhere in the bucket.

    A run that a gateway reserved but did not start is started.

    Args:
        flow: the flow to run.
        bucket: the bucket to process.
        prefix: only objects whose path starts with this text.

    Returns:
        The id of the run; None if no run was started.

    Raises:
        SupabaseError: the database did not respond.
        UnknownDeploymentError: Prefect has no deployment of the flow.
        httpx.HTTPError: Prefect did not respond. The run stays reserved, and the next request
            starts it.
    """
    requests = resources.run_requests()
    reservation = requests.request(
        Invocation(
            route=RequestRoute.CRON,
            flow=flow,
            bucket=bucket,
            prefix=prefix,
            trigger=Trigger.SCHEDULE,
            is_exclusive=flow is FlowName.BACKFILL,
            caller=Invoker(role="service_role"),
        ),
        RequestLimits(silence_seconds=settings().dead_after_seconds),
    )
    request = reservation.request
    if request is None or request.run_id is not None:
        get_run_logger().debug("no run for %s/%s: %s", bucket, prefix, reservation.outcome)
        return None
    try:
        run = start_deployment(
            settings().deployment(flow),
            request.parameters(),
            idempotency_key=request.id,
            labels=request.labels(),
            tags=[request.trigger],
        )
    except (httpx.HTTPError, UnknownDeploymentError):
        requests.settle(reservation.invocation_id, *_UNAVAILABLE)
        raise
    requests.start(request.id, str(run.id), reservation.invocation_id)
    return str(run.id)
