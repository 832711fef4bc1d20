"""The priority job: enrich single objects that were requested through the gateway."""

# No `from __future__ import annotations` here: Prefect loads a deployment's flow from its file, as
# a module that is not in `sys.modules`, and could then not resolve the types of parameters.

from typing import Any

from prefect import flow, runtime
from prefect.client.schemas.objects import State
from prefect.utilities.annotations import quote

from media_enricher.batching import batches
from media_enricher.models import Depth, Mode, Selection
from media_enricher.orchestration import resources, state_hooks
from media_enricher.orchestration.final_state import FinalState
from media_enricher.orchestration.heartbeat import heartbeat
from media_enricher.orchestration.interruption import interruptible
from media_enricher.orchestration.own_buckets import refuse_own_bucket
from media_enricher.orchestration.run import Run
from media_enricher.orchestration.task_runners import task_runner
from media_enricher.parameters import BucketName
from tasks.enrichment import Enrichment
from tasks.report import Progress, report
from tasks.write import write


@flow(
    name="enrich-object",
    flow_run_name="{bucket}/{prefix} {depth}",
    task_runner=task_runner(),
    persist_result=False,
    **state_hooks.ALL,
)
def enrich_object(bucket: BucketName, prefix: str = "", depth: Depth = Depth.FULL) -> State[Any]:
    """Process the objects of a bucket that were requested through the gateway, until none is left.

    An object stays requested until its row is written, so after a crash the next run continues
    where this one stopped. The same run also processes objects that are requested meanwhile.

    Args:
        bucket: The Storage bucket to process.
        prefix: Only objects that were requested under exactly this prefix: empty, or a tenant's
            folder.
        depth: header: read only the start of each object, decode no pixels. full: read each object
            whole, once.
    """
    refuse_own_bucket(bucket)
    requested = resources.requested_objects(bucket, prefix)
    run = Run(str(runtime.flow_run.id), Selection(bucket=bucket, prefix=prefix, depth=depth))
    with FinalState(run) as final:
        # Mode ALL bypasses the task cache: a caller who requests an object wants it read again.
        enrichment = Enrichment(Mode.ALL, start_engine=False)
        with heartbeat(run.id), enrichment, interruptible(), run.recorder:
            progress = Progress(run.stats)
            while not requested.finish(run.id):
                page = requested.page(depth)
                run.expect(len(page.pending))
                for outcomes in enrichment.map(batches(page.pending, depth)):
                    write(run, quote(outcomes))
                    progress.move()
                requested.complete(page, run.id)
            progress.show()
        report(run, reused=enrichment.reused)
    return final.state()
