"""The main job for a very large bucket: several backfills at once, each on a range of the paths."""

# No `from __future__ import annotations` here: Prefect loads a deployment's flow from its file, as
# a module that nobody can look up, and then could not tell what the parameters' types are.

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.exceptions import MissingContextError
from prefect.states import Completed

from media_enricher import labels
from media_enricher.models import Depth, Mode, Selection
from media_enricher.orchestration import state_hooks
from media_enricher.orchestration.final_state import FinalState
from media_enricher.orchestration.heartbeat import heartbeat
from media_enricher.orchestration.interruption import interruptible
from media_enricher.orchestration.sharded_run import ShardedRun
from media_enricher.parameters import BucketName, Shards
from tasks.plan import plan, split
from tasks.report import Progress, report_shards


@flow(
    name="backfill-sharded",
    flow_run_name="{bucket}/{prefix} {mode} {depth}",
    persist_result=False,
    **state_hooks.OF_SHARDED,
)
def backfill_sharded(
    bucket: BucketName,
    prefix: str = "",
    shards: Shards = 4,
    mode: Mode = Mode.MISSING,
    depth: Depth = Depth.FULL,
    dry_run: bool = False,
) -> State[Any]:
    """Enrich a very large bucket by several runs of `backfill` at once, and add them up.

    What there is to do is cut into ranges of paths that take about as long as each other. Each is
    worked on by a run of its own, wherever the work pool has a worker. A retry of this run finds
    those that were started, and starts again those alone that failed.

    Args:
        bucket: The Storage bucket to work on.
        prefix: Only objects whose path starts with this, literally, as in `images/`.
        shards: How many runs share the work, at most.
        mode: missing: what has no row yet, changed, is shallower than asked, or failed for reasons
            that pass. failed: every failure once more. stale: rows of an older enricher version.
            all: everything.
        depth: header: a first range of each object, no pixels. full: each object whole, once.
        dry_run: Count what would be done, and do nothing.
    """
    selection = Selection(bucket=bucket, prefix=prefix, mode=mode, depth=depth)
    if dry_run:
        would_be_done = plan(selection, limit=None, dry_run=True)
        return Completed(message=f"Dry run: {would_be_done.summary()}")

    this = _this_run()
    run = ShardedRun(str(this.id), selection, _inherited(this), attempt=this.run_count)
    with FinalState(run) as final:
        with heartbeat(run.id), run, interruptible():
            start_shards(run, shards)
            progress = Progress(run.stats)
            for _ in run.watch():
                progress.move()
            progress.show()
        report_shards(run)
    return final.state()


def start_shards(run: ShardedRun, shards: int) -> None:
    """Start so many shards at most, less those that an earlier attempt at the run has started."""
    if rest := run.resume():
        run.stats.expect(plan(rest, limit=None, dry_run=False).objects)
        run.start(rest, split(rest, max(1, shards - len(run.shards))))


def _this_run() -> FlowRun:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise MissingContextError("a sharded backfill is started as a flow run")
    return context.flow_run


def _inherited(flow_run: FlowRun) -> dict[str, str]:
    """The labels that tell of the shards what is known of their parent."""
    told = {
        name: str(flow_run.labels[name])
        for name in (labels.REQUESTED_BY, labels.TENANT_ID)
        if name in flow_run.labels
    }
    return told | {labels.TRIGGER: state_hooks.trigger_of(flow_run).value}
