"""Start runs for queued single objects that no run is processing."""

from __future__ import annotations

from itertools import islice

from prefect import get_run_logger, task

from media_enricher.models import FlowName
from media_enricher.orchestration import resources
from media_enricher.orchestration.request import request_run

_MOST_RUNS = 50
"""The runs that one call starts. There is a queue per bucket, and per tenant with many uploads."""


@task(name="process-queue", task_run_name="process queue", persist_result=False)
def process_queue() -> list[str]:
    """Start a run for each queue that holds objects and has no run under way, up to 50.

    Such objects were queued by a change in Storage. Or their run died, or the gateway died before
    it started one.

    Returns:
        One sentence per started run.

    Raises:
        SupabaseError: the database did not respond.
        UnknownDeploymentError: Prefect has no deployment for single objects.
        PrefectApiError: Prefect did not respond.
    """
    sentences = []
    for queue in islice(resources.run_requests().queues_without_run(), _MOST_RUNS):
        run_id = request_run(FlowName.ENRICH_OBJECT, queue.bucket, queue.prefix)
        if run_id is not None:
            sentences.append(
                f"run {run_id} enriches the requested objects of {queue.bucket}/{queue.prefix}"
            )
            get_run_logger().info(sentences[-1])
    return sentences
