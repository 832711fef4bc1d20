"""Request runs from within a flow, as the gateway does: one per flow, bucket and prefix."""

from __future__ import annotations

from prefect import get_run_logger

from media_enricher.models import FlowName, Trigger
from media_enricher.orchestration import resources
from media_enricher.orchestration.prefect_api import FLOW_PATIENCE_SECONDS, PrefectApi, run_async
from media_enricher.orchestration.run_starter import ReservationDeniedError, RunStarter, Started
from media_enricher.orchestration.supabase_threads import SupabaseThreads
from media_enricher.run_requests import Invocation, Invoker, RequestLimits, RequestRoute
from media_enricher.settings import settings


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
        PrefectApiError: Prefect is away. The next one to ask starts what is reserved now.
        NoRunReservedError: runs end as fast as they are reserved.
    """
    invocation = Invocation(
        route=RequestRoute.CRON,
        flow=flow,
        bucket=bucket,
        prefix=prefix,
        trigger=Trigger.SCHEDULE,
        is_exclusive=flow is FlowName.BACKFILL,
        caller=Invoker(role="service_role"),
    )
    try:
        started = run_async(lambda: _start(invocation))
    except ReservationDeniedError as error:  # such as of a bucket that was deleted just now
        get_run_logger().debug("%s", error)
        return None
    if started.was_under_way:
        get_run_logger().debug("run %s is under way in %s/%s", started.run.id, bucket, prefix)
        return None
    return started.run.id


async def _start(invocation: Invocation) -> Started:
    enricher = settings()
    async with PrefectApi(patience_seconds=FLOW_PATIENCE_SECONDS) as prefect:
        starter = RunStarter(
            resources.run_requests(),
            resources.run_table(),
            prefect,
            SupabaseThreads(),
            RequestLimits(silence_seconds=enricher.dead_after_seconds),
            {invocation.flow: enricher.deployment(invocation.flow)},
        )
        return await starter.start(invocation)
