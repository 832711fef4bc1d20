"""Run a flow in this process: `python -m flows backfill '{"bucket": "photos"}'`.

For the command line, which has neither worker nor runner: this process is its own supervisor. It
listens for a cancellation asked of Prefect, and takes Ctrl-C for one. It prints two JSON lines:
`{"run_id": …}` once the run is running, and `{"state": …, "message": …}` when it has ended; the
exit code is 0 for completed, 130 for cancelled and 1 for anything else.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from typing import Any
from uuid import UUID

import httpx
from prefect import Flow, get_client
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import PrefectException
from prefect.logging.loggers import flow_run_logger

from flows.backfill import backfill
from flows.backfill_sharded import backfill_sharded
from flows.enrich_object import enrich_object
from flows.interruption import StopOnce
from media_enricher.models import FlowName

FLOWS: dict[str, Flow[..., Any]] = {
    FlowName.BACKFILL: backfill,
    FlowName.BACKFILL_SHARDED: backfill_sharded,
    FlowName.ENRICH_OBJECT: enrich_object,
}
LISTEN_SECONDS = 2.0
EXIT_CODES = {StateType.COMPLETED: 0, StateType.CANCELLED: 130}


def main(name: str, parameters: str) -> int:
    """Run the flow of that name with parameters given as a JSON object; return the exit code."""
    flow = FLOWS[name]
    supervised = flow.with_options(on_running=[*flow.on_running_hooks, _announce, _listen])
    state: State[Any] = supervised(**json.loads(parameters) | {"return_state": True})
    _print(state=state.type.value, message=state.message)
    return EXIT_CODES.get(state.type, 1)


def _announce(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    signal.signal(signal.SIGINT, StopOnce(flow))
    _print(run_id=str(flow_run.id))


def _listen(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Interrupt the main thread once Prefect is asked to cancel the run."""
    logger = flow_run_logger(flow_run, flow)
    main_thread = threading.get_ident()

    def until_cancelling(run_id: UUID) -> None:
        with get_client(sync_client=True) as client:
            while True:
                time.sleep(LISTEN_SECONDS)
                try:
                    state = client.read_flow_run(run_id).state
                except (httpx.HTTPError, PrefectException) as error:
                    logger.warning("cannot ask Prefect whether to cancel: %s", error)
                    continue
                if state and state.type is StateType.CANCELLING:
                    signal.pthread_kill(main_thread, signal.SIGINT)

    threading.Thread(
        target=until_cancelling, args=(flow_run.id,), name="cancellation", daemon=True
    ).start()


def _print(**line: str | None) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
