"""State hooks: they keep `public.media_enrich_runs` true to what Prefect says of a flow run.

Each may be called twice, late, or in another process than the run's, so each saves only what it
knows, and the database refuses to let a status move backwards. A hook never raises: Prefect would
only log it. What no hook sees (SIGKILL, a lost machine) is left to reconciliation by heartbeat.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypedDict

import httpx
from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import PrefectException
from prefect.flows import FlowStateHook
from prefect.logging.loggers import flow_run_logger

from media_enricher import labels
from media_enricher.models import EnrichRun, RunStatus, Trigger
from media_enricher.orchestration import resources
from media_enricher.orchestration.shards import cancel_shards
from media_enricher.settings import SettingsError
from media_enricher.supabase.errors import SupabaseError

run_rows: dict[str, EnrichRun] = {}
"""The rows of runs as they were when this process recorded them as running, until they are used."""


def on_running(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Create the row, or take over the one that the gateway created; also on a retry."""
    row = _record(
        flow,
        flow_run,
        status=RunStatus.RUNNING,
        started_at=_plain(flow_run.start_time) or datetime.now(UTC),
        heartbeat_at=datetime.now(UTC),
        restart=flow_run.run_count > 0,  # of the times before this one
    )
    if row is not None:
        run_rows[row.id] = row


def on_completion(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Record that the run completed."""
    _record(flow, flow_run, status=RunStatus.COMPLETED)


def on_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Record that the run failed."""
    _record(flow, flow_run, status=RunStatus.FAILED, error=state.message)


def on_cancellation(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Record that the run was cancelled."""
    _record(flow, flow_run, status=RunStatus.CANCELLED, error=state.message)


def on_crashed(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Record that the run crashed."""
    _record(flow, flow_run, status=RunStatus.CRASHED, error=state.message)


def cancel_its_shards(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Cancel the shards of a sharded run, in case its own process ended before it did."""
    try:
        cancel_shards(str(flow_run.id))
    except (httpx.HTTPError, PrefectException, SupabaseError, SettingsError) as error:
        flow_run_logger(flow_run, flow).error("could not cancel all shards: %s", error)


class StateHooks(TypedDict):
    """The hooks of a flow, by the names that `@flow` takes them by."""

    on_running: list[FlowStateHook[..., Any]]
    on_completion: list[FlowStateHook[..., Any]]
    on_failure: list[FlowStateHook[..., Any]]
    on_cancellation: list[FlowStateHook[..., Any]]
    on_crashed: list[FlowStateHook[..., Any]]


ALL = StateHooks(
    on_running=[on_running],
    on_completion=[on_completion],
    on_failure=[on_failure],
    on_cancellation=[on_cancellation],
    on_crashed=[on_crashed],
)
"""The hooks that keep the row of a run up to date: `@flow(…, **state_hooks.ALL)`."""

OF_SHARDED: StateHooks = {**ALL, "on_cancellation": [cancel_its_shards, on_cancellation]}
"""The hooks of a sharded run."""


def _plain(moment: datetime | None) -> datetime | None:
    """A plain datetime: on a retry, Prefect's is of a class that the encoder rejects."""
    return moment and datetime.fromtimestamp(moment.timestamp(), UTC)


def _record(flow: Flow[..., Any], flow_run: FlowRun, **changes: object) -> EnrichRun | None:
    parameters = flow_run.parameters
    if parameters.get("dry_run"):
        return None  # a dry run leaves no trace
    try:
        # Parameters are sent each time, because any hook may be the first to record the run.
        return resources.run_table().record(
            str(flow_run.id),
            flow=flow.name,
            bucket=parameters.get("bucket"),
            prefix=parameters.get("prefix", ""),
            max_files=parameters.get("limit"),
            max_bytes=parameters.get("max_bytes"),
            mode=parameters.get("mode", "missing"),
            depth=parameters.get("depth", "full"),
            trigger=trigger_of(flow_run),
            requested_by=flow_run.labels.get(labels.REQUESTED_BY),
            tenant_id=flow_run.labels.get(labels.TENANT_ID),
            parent_run_id=flow_run.labels.get(labels.PARENT_RUN_ID),
            **changes,
        )
    except (SupabaseError, SettingsError) as error:
        flow_run_logger(flow_run, flow).error(
            "could not record run status %s: %s", changes["status"], error
        )
        return None


def trigger_of(flow_run: FlowRun) -> Trigger:
    """What started the run: the label if there is one, or else what Prefect reports."""
    label = flow_run.labels.get(labels.TRIGGER)
    if label in list(Trigger):
        return Trigger(label)
    if flow_run.auto_scheduled:
        return Trigger.SCHEDULE
    if flow_run.created_by and flow_run.created_by.type == "AUTOMATION":
        return Trigger.EVENT
    return Trigger.MANUAL
