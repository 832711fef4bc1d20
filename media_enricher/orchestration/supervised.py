"""Run a flow in this process, and supervise it."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import httpx
from prefect import Flow, get_client
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ParameterTypeError, PrefectException
from prefect.flow_engine import FlowRunEngine
from prefect.logging.loggers import flow_run_logger
from prefect.settings import get_current_settings

from media_enricher.orchestration.interruption import inside, nowhere, outside
from process_control.signals import Interruption

LISTEN_SECONDS = 2.0
_stops: list[Interruption] = []
"""What stops the run of this process. It is a global because hooks are sent to other processes with
their flow, and this object cannot be pickled."""
EXIT_CODES = {StateType.COMPLETED: 0, StateType.CANCELLED: 130}


def run(flow: Flow[..., Any], parameters: Mapping[str, object], stop: Interruption) -> int:
    """Run a flow; return the exit code.

    Args:
        flow: the flow.
        parameters: the parameters of the flow.
        stop: an open `Interruption`; once the run has begun, it interrupts only the run's own work.
    """
    _stops.append(stop)
    # An interruption while Prefect begins a run and calls its hooks would make the run crash.
    stop.when = outside(FlowRunEngine.begin_run)
    supervised = flow.with_options(on_running=[*flow.on_running_hooks, _announce, _listen])
    try:
        arguments: dict[str, Any] = {**parameters, "return_state": True}
        state: State[Any] = supervised(**arguments)
    except ParameterTypeError as error:
        _print(state="FAILED", message=str(error))
        return 1
    except (httpx.HTTPError, OSError, PrefectException, RuntimeError) as error:
        # Errors of the flow are in its state; these are errors of Prefect or of the connection.
        _print(state="CRASHED", message=_unreachable(error))
        return 1
    _print(state=state.type.value, message=state.message)
    return EXIT_CODES.get(state.type, 1)


def _unreachable(error: Exception) -> str:
    """Say that Prefect's server cannot be used, why, and what to do."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    url = get_current_settings().api.url
    if url:
        return (
            f"Cannot use the Prefect server at {url} ({reason}). Check PREFECT_API_URL and "
            "PREFECT_API_AUTH_STRING, and that the server is running."
        )
    return (
        f"Cannot use a Prefect server ({reason}). PREFECT_API_URL is not set, and a temporary "
        "server did not start. Try again, or start one with `prefect server start` and set "
        "PREFECT_API_URL."
    )


def _announce(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    # From here on, `FinalState` allows interruptions. A dry run has none, and no row either.
    _stops[-1].when = inside(flow.fn) if flow_run.parameters.get("dry_run") else nowhere
    _print(run_id=str(flow_run.id))


def _listen(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Interrupt the run once Prefect has been asked to cancel it."""
    logger = flow_run_logger(flow_run, flow)
    stop = _stops[-1]

    def until_cancelling(run_id: UUID) -> None:
        with get_client(sync_client=True) as client:
            while True:
                time.sleep(LISTEN_SECONDS)
                try:
                    state = client.read_flow_run(run_id).state
                except (httpx.HTTPError, PrefectException) as error:
                    logger.warning(
                        "could not ask Prefect whether the run is being cancelled: %s", error
                    )
                    continue
                if state and state.type is StateType.CANCELLING:
                    stop.ask()

    threading.Thread(
        target=until_cancelling, args=(flow_run.id,), name="cancellation", daemon=True
    ).start()


def _print(**line: str | None) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
