"""The main job: enrich every object of a bucket that needs it."""

# No `from __future__ import annotations` here: Prefect loads a deployment's flow from its file, as
# a module that nobody can look up, and then could not tell what the parameters' types are.

from typing import Any

from prefect import flow, runtime
from prefect.client.schemas.objects import State
from prefect.states import Completed
from prefect.utilities.annotations import quote

from media_enricher.batching import batches
from media_enricher.models import Depth, Mode, Selection
from media_enricher.orchestration import state_hooks
from media_enricher.orchestration.final_state import FinalState
from media_enricher.orchestration.heartbeat import heartbeat
from media_enricher.orchestration.interruption import interruptible
from media_enricher.orchestration.run import Run
from media_enricher.orchestration.task_runners import task_runner
from media_enricher.parameters import BucketName, Limit
from tasks.enrich import Enrichment
from tasks.plan import known_cuts, pending_objects, plan
from tasks.report import Progress, report
from tasks.write import write


@flow(
    name="backfill",
    flow_run_name="{bucket}/{prefix} {mode} {depth}",
    task_runner=task_runner(),
    persist_result=False,
    **state_hooks.ALL,
)
def backfill(
    bucket: BucketName,
    prefix: str = "",
    limit: Limit | None = None,
    mode: Mode = Mode.MISSING,
    depth: Depth = Depth.FULL,
    dry_run: bool = False,
    after: str = "",
    until: str = "",
) -> State[Any]:
    """Enrich the objects of a Supabase Storage bucket into `public.media_assets`.

    Safe to start at any time, twice, or again after it was killed: it asks the database what is
    left to do, and each write is whole and repeatable.

    Args:
        bucket: The Storage bucket to work on.
        prefix: Only objects whose path starts with this, literally, as in `images/`.
        limit: The most objects to do in this run; empty for all.
        mode: missing: what has no row yet, changed, is shallower than asked, or failed for reasons
            that pass. failed: every failure once more. stale: rows of an older enricher version.
            all: everything.
        depth: header: a first range of each object, no pixels. full: each object whole, once.
        dry_run: Count what would be done, and do nothing.
        after: Only objects whose path comes after this one, in the order of their bytes.
        until: Only objects up to this path, itself included; empty for all to the last.
    """
    selection = Selection(
        bucket=bucket, prefix=prefix, mode=mode, depth=depth, after=after, until=until
    )
    if dry_run:
        would_be_done = plan(selection, limit=limit, dry_run=True)
        return Completed(message=f"Dry run: {would_be_done.summary()}")

    run = Run(str(runtime.flow_run.id), selection, limit)
    with FinalState(run) as final:
        with heartbeat(run.id), Enrichment(mode) as enrichment, interruptible():
            run.expect(plan(selection, limit=run.limit, dry_run=False).objects)
            progress = Progress(run.stats)
            pending = pending_objects(selection, limit=run.limit)
            for outcomes in enrichment.map(batches(pending, depth, known_cuts(selection))):
                write(run, quote(outcomes))
                progress.move()
            progress.show()
        report(run, reused=enrichment.reused)
    return final.state()
