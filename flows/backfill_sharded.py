"""The main job for a very large bucket: several backfills at once, each on a range of paths."""

# No `from __future__ import annotations` here: Prefect loads a deployment's flow from its file, as
# a module that is not in `sys.modules`, and could then not resolve the types of parameters.

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
from media_enricher.parameters import BucketName, MaxBytes, Shards
from tasks.count_missing import count_missing
from tasks.plan import split
from tasks.preview import preview
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
    max_bytes: MaxBytes | None = None,
    dry_run: bool = False,
) -> State[Any]:
    """Process a very large bucket with several runs of `backfill` at once.

    The pending objects are split into ranges of paths with about the same amount of work. Each
    range has a run of its own, on any worker of the work pool; this run adds up their counts.
    A retry of this run finds the shards that were started, and restarts only those that failed.

    Args:
        bucket: The Storage bucket to process.
        prefix: Only objects whose path starts with this text, for example `images/`.
        shards: The maximum number of runs that share the work.
        mode: missing: objects that are new or changed, that need a greater depth, or that failed
            for a temporary reason. failed: all failed objects. stale: rows of an older enricher
            version. all: every object.
        depth: header: read only the start of each object, decode no pixels. full: read each object
            whole, once.
        max_bytes: The maximum number of bytes that all shards together read from Storage; a later
            run with mode missing goes on from there. Empty: no maximum.
        dry_run: Say how many objects are pending and what reading them would cost. Change nothing.
    """
    selection = Selection(bucket=bucket, prefix=prefix, mode=mode, depth=depth)
    if dry_run:
        return Completed(message=preview(selection, limit=None, max_bytes=max_bytes))

    this = _this_run()
    run = ShardedRun(
        str(this.id), selection, _inherited(this), attempt=this.run_count, max_bytes=max_bytes
    )
    with FinalState(run) as final:
        with heartbeat(run.id), run, interruptible():
            start_shards(run, shards)
            progress = Progress(run.stats)
            for _ in run.watch():
                progress.move()
            progress.show()
        report_shards(run)
        count_missing(bucket)
    return final.state()


def start_shards(run: ShardedRun, shards: int) -> None:
    """Start at most so many shards, counting those that an earlier attempt at the run started."""
    if rest := run.resume():
        shares = split(rest, max(1, shards - len(run.shards)))
        run.stats.expect(sum(share.objects for share in shares))
        run.start(rest, shares)


def _this_run() -> FlowRun:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise MissingContextError(
            "backfill-sharded must run as a flow run: call the flow, not its function"
        )
    return context.flow_run


def _inherited(flow_run: FlowRun) -> dict[str, str]:
    """The labels that shards take over from their parent."""
    inherited = {
        name: str(flow_run.labels[name])
        for name in (labels.REQUESTED_BY, labels.TENANT_ID)
        if name in flow_run.labels
    }
    return inherited | {labels.TRIGGER: state_hooks.trigger_of(flow_run).value}
