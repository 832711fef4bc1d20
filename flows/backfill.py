"""The main job: enrich every object of a bucket that needs it."""

# No `from __future__ import annotations` here: Prefect loads a deployment's flow from its file, as
# a module that is not in `sys.modules`, and could then not resolve the types of parameters.

from functools import partial
from typing import Any

from prefect import flow, runtime
from prefect.client.schemas.objects import State
from prefect.states import Completed
from prefect.utilities.annotations import quote

from media_enricher.batching import batches
from media_enricher.models import Depth, Mode, Selection
from media_enricher.orchestration.counting import Counting
from media_enricher.orchestration.final_state import FinalState
from media_enricher.orchestration.heartbeat import heartbeat
from media_enricher.orchestration.interruption import interruptible
from media_enricher.orchestration.opening import HOOKS, opening
from media_enricher.orchestration.run import Run
from media_enricher.orchestration.task_runners import task_runner
from media_enricher.parameters import BucketName, Limit, MaxBytes
from media_enricher.settings import settings
from tasks.count_missing import count_missing
from tasks.enrichment import Enrichment
from tasks.plan import pending_objects, plan
from tasks.preview import preview
from tasks.report import Progress, report
from tasks.write import write


@flow(
    name="backfill",
    flow_run_name="{bucket}/{prefix} {mode} {depth}",
    task_runner=task_runner(),
    persist_result=False,
    **HOOKS,
)
def backfill(
    bucket: BucketName,
    prefix: str = "",
    limit: Limit | None = None,
    mode: Mode = Mode.MISSING,
    depth: Depth = Depth.FULL,
    max_bytes: MaxBytes | None = None,
    dry_run: bool = False,
    after: str = "",
    until: str = "",
) -> State[Any]:
    """Write metadata for the objects of a Supabase Storage bucket to `public.media_assets`.

    Safe to start at any time, more than once, and again after a crash: the run asks the database
    which objects are pending, and every write is atomic and repeatable.

    Args:
        bucket: The Storage bucket to process.
        prefix: Only objects whose path starts with this text, for example `images/`.
        limit: The maximum number of objects in this run. Empty: all.
        mode: missing: objects that are new or changed, that need a greater depth, or that failed
            for a temporary reason. failed: all failed objects. stale: rows of an older enricher
            version. all: every object.
        depth: header: read only the start of each object, decode no pixels. full: read each object
            whole, once.
        max_bytes: The maximum number of bytes to read from Storage in this run; a later run with
            mode missing goes on from there. Empty: no maximum.
        dry_run: Say how many objects are pending and what reading them would cost. Change nothing.
        after: Only objects whose path comes after this one (exclusive), in byte order.
        until: Only objects up to this path (inclusive), in byte order. Empty: no upper bound.
    """
    selection = Selection(
        bucket=bucket, prefix=prefix, mode=mode, depth=depth, after=after, until=until
    )
    if dry_run:
        return Completed(message=preview(selection, limit=limit, max_bytes=max_bytes))

    run = Run(str(runtime.flow_run.id), selection, limit, max_bytes)
    opened = opening(run.id, bucket)
    with FinalState(run) as final:
        counted = Counting(partial(plan, run, quote(opened)))
        with (
            heartbeat(run.id),
            Enrichment(mode) as enrichment,
            interruptible(),
            run.recorder,
            counted,
        ):
            progress = Progress(run.stats)
            pending = pending_objects(counted.ranges(), limit=run.limit, budget=run.budget)
            cut = batches(
                pending, depth, opened.cuts.result(), is_in_cluster=settings().is_in_cluster
            )
            for outcomes in enrichment.map(cut, run.budget):
                counted.wait_until_writable()
                write(run, quote(outcomes))
                progress.move()
            progress.show()
        report(run, reused=enrichment.reused)
        if not (after or until):  # else it is a shard, and the sharded run counts
            count_missing(bucket)
    return final.state()
