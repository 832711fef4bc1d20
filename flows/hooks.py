"""State hooks: they keep `public.media_enrich_runs` true to what Prefect says of a flow run.

Each may be called twice, late, or in another process than the run's, so each saves only what it
knows, and the database refuses to let a status move backwards. A hook never raises: Prefect would
only log it. What no hook sees (SIGKILL, a lost machine) is left to reconciliation by heartbeat.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger
from prefect.states import Cancelled

from media_enricher.models import RunStatus, Trigger
from media_enricher.settings import SettingsError
from media_enricher.supabase.errors import SupabaseError
from tasks import resources
from tasks.run import Run


def on_running(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Make the row, or take over the one that the HTTP trigger made; again on a retry."""
    _record(
        flow,
        flow_run,
        status=RunStatus.RUNNING,
        started_at=flow_run.start_time or datetime.now(UTC),
        heartbeat_at=datetime.now(UTC),
        restart=flow_run.run_count > 1,
    )


def on_completion(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The run did what it was asked to."""
    _record(flow, flow_run, status=RunStatus.COMPLETED)


def on_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The run failed, or too much of it did."""
    _record(flow, flow_run, status=RunStatus.FAILED, error=state.message)


def on_cancellation(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Somebody stopped the run."""
    _record(flow, flow_run, status=RunStatus.CANCELLED, error=state.message)


def on_crashed(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The process of the run went away."""
    _record(flow, flow_run, status=RunStatus.CRASHED, error=state.message)


def cancelled(run: Run) -> State[Any]:
    """End a run that stops by itself, having no supervisor that would call a hook for it.

    Returns:
        The final state for the flow to return.
    """
    message = f"Cancelled: {run.account.sentence()}"
    resources.run_table().record(run.id, status=RunStatus.CANCELLED, error=message)
    return Cancelled(message=message)


def _record(flow: Flow[..., Any], flow_run: FlowRun, **changes: object) -> None:
    parameters = flow_run.parameters
    if parameters.get("dry_run"):
        return  # a dry run leaves no trace
    try:
        # What was asked goes along each time, for any hook may be the first to tell of the run.
        resources.run_table().record(
            str(flow_run.id),
            bucket=parameters.get("bucket"),
            prefix=parameters.get("prefix", ""),
            max_files=parameters.get("limit"),
            mode=parameters.get("mode", "missing"),
            depth=parameters.get("depth", "full"),
            trigger=trigger_of(flow_run),
            **changes,
        )
    except (SupabaseError, SettingsError) as error:
        flow_run_logger(flow_run, flow).error(
            "the run table does not know that this run is %s: %s", changes["status"], error
        )


def trigger_of(flow_run: FlowRun) -> Trigger:
    """What started the run, as far as Prefect can tell; the HTTP trigger says so by itself."""
    if flow_run.auto_scheduled:
        return Trigger.SCHEDULE
    if flow_run.created_by and flow_run.created_by.type == "AUTOMATION":
        return Trigger.EVENT
    return Trigger.MANUAL
