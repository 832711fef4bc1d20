"""The job that runs every few minutes: it repairs what dead runs left, and starts missing runs."""

# No `from __future__ import annotations` here: Prefect loads a deployment's flow from its file, as
# a module that is not in `sys.modules`, and could then not resolve the types of parameters.

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from media_enricher.orchestration.combined_state import combined_state
from media_enricher.parameters import BucketName
from media_enricher.settings import settings
from tasks.process_queue import process_queue
from tasks.purge import purge
from tasks.reconcile import reconcile
from tasks.settle import settle
from tasks.sweep_bucket import sweep_bucket


@flow(name="sweep", flow_run_name="sweep", persist_result=False)
def sweep(buckets: list[BucketName] | None = None) -> State[Any]:
    """Correct the rows and snapshots of dead runs, and start runs for objects without metadata.

    Safe to start at any time, and more than once. It starts no run for a bucket that already has
    one under way. The sweep itself has no row in the table of runs.

    Args:
        buckets: The buckets to sweep. Empty: those of MEDIA_ENRICHER_BUCKETS.
    """
    # The order matters: a dead run must not block a new run on its bucket, and a deleted bucket
    # must not get one. If one task fails, the others still run.
    states: list[State[list[str]]] = [
        reconcile(return_state=True),
        settle(return_state=True),
        purge(return_state=True),
        *(sweep_bucket(bucket, return_state=True) for bucket in buckets or settings().buckets),
        process_queue(return_state=True),
    ]
    return combined_state(states)
