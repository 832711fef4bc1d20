"""Setting the table of runs right: what no hook could tell of a run, Prefect is asked."""

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
"""A worker may pull an image before the run it has taken up gives its first sign of life."""


class Ending(NamedTuple):
    """How a run ended.

    Attributes:
        status: in the words of `media_enrich_runs`.
        message: for people.
        at: when; None for now.
    """

    status: RunStatus
    message: str | None
    at: datetime | None = None


@task(name="reconcile", task_run_name="reconcile", persist_result=False)
def reconcile() -> list[str]:
    """End the rows of runs that look alive and are not, as Prefect says that they ended.

    A run that Prefect takes for running, too, has lost its process: it is called crashed in both
    places, so that what it took of Prefect's concurrency limits is free again. Should it stir after
    all, its next heartbeat revives its row, and its end corrects Prefect.

    Returns:
        A sentence for each of them.

    Raises:
        SupabaseError: the database did not answer.
        httpx.HTTPError: Prefect is away.
    """
    logger = get_run_logger()
    runs = resources.run_table()
    sentences = []
    with get_client(sync_client=True) as prefect:
        for run in runs.silent(settings().dead_after_seconds):
            ending = _ending(prefect, runs, run)
            if ending is None or not runs.end_silent(run, *ending):
                continue
            sentences.append(f"run {run.id} on {run.bucket}/{run.prefix} is {ending.status}")
            logger.warning("%s: %s", sentences[-1], ending.message)
    return sentences


def _ending(prefect: SyncPrefectClient, runs: RunTable, run: EnrichRun) -> Ending | None:
    """How a silent run ended; None if it waits, or may yet give a sign of life."""
    try:
        state = prefect.read_flow_run(UUID(run.id)).state
    except ObjectNotFound:
        return Ending(RunStatus.CRASHED, "Prefect does not know this run")
    if state is None or state.type in (StateType.SCHEDULED, StateType.PAUSED):
        return None
    if state.is_final():
        message = None if state.is_completed() else state.message
        return Ending(RunStatus(state.type.value.lower()), message, state.timestamp)
    return _give_up(prefect, runs, run, state)


def _give_up(
    prefect: SyncPrefectClient, runs: RunTable, run: EnrichRun, state: State[Any]
) -> Ending | None:
    """End a run at Prefect that was silent there and here; None if it was not, or stirs now."""
    last_sign = max(state.timestamp, run.heartbeat_at or state.timestamp)
    patience = timedelta(seconds=settings().dead_after_seconds)
    if state.is_pending():
        patience = max(patience, STARTING)
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
        return None  # it has got on meanwhile; the next sweep sees where
    return Ending(RunStatus(end.type.value.lower()), message)
