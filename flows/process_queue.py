"""The job that runs every minute where changes are queued: it starts runs for queued objects."""

# No `from __future__ import annotations` here: Prefect loads a deployment's flow from its file, as
# a module that is not in `sys.modules`, and could then not resolve the types of parameters.

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from media_enricher.orchestration.combined_state import combined_state
from tasks.process_queue import process_queue as start_runs
from tasks.reconcile import reconcile


@flow(name="process-queue", flow_run_name="process queue", persist_result=False)
def process_queue() -> State[Any]:
    """Start a run for each queue of single objects that has none, and for those of dead runs.

    It is the part of the sweep that uploads wait for, and costs the same however large the buckets
    are. Safe to start at any time, and more than once. It has no row in the table of runs.
    """
    # The order matters: a dead run must not keep its queue.
    return combined_state([reconcile(return_state=True), start_runs(return_state=True)])
