"""The job that gives objects the content type that their bytes have."""

# No `from __future__ import annotations` here: Prefect loads a deployment's flow from its file, as
# a module that is not in `sys.modules`, and could then not resolve the types of parameters.

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from media_enricher.orchestration.final_state import FinalState
from media_enricher.orchestration.interruption import interruptible
from media_enricher.orchestration.opening import require_bucket
from media_enricher.orchestration.type_repair_run import TypeRepairRun
from media_enricher.parameters import BucketName, Limit, Prefix
from tasks.repair_types import planned_repairs
from tasks.repair_types import repair_types as repair
from tasks.report_type_repairs import report_type_repairs
from tasks.settle_type_repairs import settle_type_repairs


@flow(name="repair-types", flow_run_name="{bucket}/{prefix}", persist_result=False)
def repair_types(
    bucket: BucketName, prefix: Prefix = "", limit: Limit | None = None, dry_run: bool = False
) -> State[Any]:
    """Let Storage serve each enriched object as what it is, where it is declared as something else.

    Owner, metadata, cache control, bytes and path stay as they are. No object becomes more
    executable. Safe to start at any time, more than once, and again after a crash.

    Args:
        bucket: The Storage bucket to process.
        prefix: Only objects whose path starts with this text, for example `images/`.
        limit: The maximum number of objects to repair. Empty: all.
        dry_run: Count what is to be repaired and change nothing.
    """
    require_bucket(bucket)
    run = TypeRepairRun(bucket, prefix, limit)
    if dry_run:
        for _ in planned_repairs(run):
            pass  # they are counted
        report_type_repairs(run, dry_run=True)
        return Completed(message=f"Dry run: {run.stats.intent()}")

    with FinalState(run, is_recorded=False) as final:
        with interruptible():
            run.parts.prepare()
            settle_type_repairs(run)
            for page in planned_repairs(run):
                repair(run, page)
            if run.stats.unsettled:
                settle_type_repairs(run)
        report_type_repairs(run, dry_run=False)
    return final.state()
