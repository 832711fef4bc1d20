"""Correct the table of runs: for runs that are silent, ask Prefect how they ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from prefect import get_client, get_run_logger, task
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas import SetStateStatus
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed

from media_enricher.models import EnrichRun, RunStatus
from media_enricher.orchestration import resources
from media_enricher.settings import settings
from media_enricher.supabase.runs import RunTable

STARTING = timedelta(minutes=10)
"""How long a pending run may be silent: its worker may first have to pull an image."""
STARTING_A_PROCESS = timedelta(minutes=2)
"""The same in a pool of type process, which pulls nothing. Uploads wait behind a lost run."""


class Ending(NamedTuple):
    """How a run ended.

    Attributes:
        status: as in `media_enrich_runs`.
        message: why, for people.
        at: when it ended; None for now.
    """

    status: RunStatus
    message: str | None
    at: datetime | None = None


@task(name="reconcile", task_run_name="reconcile", persist_result=False)
def reconcile() -> list[str]:
    """End the rows of runs that look alive but have ended, with the status that Prefect has.

    A silent run that Prefect also believes to be running has lost its process. It is marked as
    crashed in both places, which frees its concurrency slots in Prefect. If its process is alive
    after all, its next heartbeat revives the row, and its end corrects Prefect.

    Returns:
        One sentence per run that was ended.

    Raises:
        SupabaseError: the database did not respond.
        httpx.HTTPError: Prefect did not respond.
    """
    logger = get_run_logger()
    runs = resources.run_table()
    sentences = []
    with get_client(sync_client=True) as prefect:
        for run in runs.silent(settings().dead_after_seconds):
            ending = _ending(prefect, runs, run)
            if ending is None or not runs.end_silent(run, *ending):
                continue
            sentences.append(f"marked run {run.id} on {run.bucket}/{run.prefix} as {ending.status}")
            logger.warning("%s: %s", sentences[-1], ending.message)
    return sentences


def _ending(prefect: SyncPrefectClient, runs: RunTable, run: EnrichRun) -> Ending | None:
    """How a silent run ended; None if it is waiting, or may still be alive."""
    try:
        flow_run = prefect.read_flow_run(UUID(run.id))
    except ObjectNotFound:
        return Ending(RunStatus.CRASHED, "Prefect has no flow run with this id")
    state = flow_run.state
    if state is None or state.type in (StateType.SCHEDULED, StateType.PAUSED):
        return None
    if state.is_final():
        message = None if state.is_completed() else state.message
        return Ending(RunStatus(state.type.value.lower()), message, state.timestamp)
    patience = timedelta(seconds=settings().dead_after_seconds)
    if state.is_pending():
        patience = max(patience, _starts_within(prefect, flow_run.work_pool_name))
    return _give_up(prefect, runs, run, state, patience)


def _starts_within(prefect: SyncPrefectClient, pool: str | None) -> timedelta:
    """How long a worker of the pool may take until a run that it took has begun."""
    if pool is None:
        return STARTING
    try:
        is_process = prefect.read_work_pool(pool).type == "process"
    except ObjectNotFound:
        return STARTING
    return STARTING_A_PROCESS if is_process else STARTING


def _give_up(
    prefect: SyncPrefectClient,
    runs: RunTable,
    run: EnrichRun,
    state: State[Any],
    patience: timedelta,
) -> Ending | None:
    """End a run in Prefect that is silent there too; None if it may be alive after all."""
    last_sign = max(state.timestamp, run.heartbeat_at or state.timestamp)
    if datetime.now(UTC) - last_sign < patience:
        return None
    now = runs.get(run.id)
    if now is None or now.heartbeat_at != run.heartbeat_at:
        return None
    message = f"No sign of life since {last_sign:%Y-%m-%d %H:%M:%S} UTC"
    end: State[Any] = (
        Cancelled(message=message) if state.is_cancelling() else Crashed(message=message)
    )
    if prefect.set_flow_run_state(UUID(run.id), end).status is not SetStateStatus.ACCEPT:
        return None  # its state has changed meanwhile; the next sweep looks again
    return Ending(RunStatus(end.type.value.lower()), message)
