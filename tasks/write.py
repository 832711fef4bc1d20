"""Third step: write outcomes to the snapshot, the table and the run's counters."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import get_run_logger, task

from media_enricher.metrics import Stage
from media_enricher.models import Outcome
from media_enricher.orchestration import resources
from media_enricher.orchestration.run import Run


@task(name="write", task_run_name="write", persist_result=False)
def write(run: Run, outcomes: Sequence[Outcome]) -> None:
    """Add parts to the snapshot; with each, upsert its rows and update the run's counters.

    Pass the outcomes as `quote(outcomes)`: otherwise Prefect searches each of them for futures,
    which takes 30 microseconds, a tenth of what the run's process needs for a small object.

    Raises:
        SnapshotError: the snapshot cannot be written.
        SupabaseError: the database or Storage refused or failed a request, after retries. In both
            cases, unrecorded outcomes are in the task cache, so that the run can be repeated
            without reading the objects again.
    """
    bucket, metrics = run.selection.bucket, resources.metrics()
    with metrics.timed(bucket, Stage.WRITE):
        parts = []
        for part in run.recorder.record(outcomes):
            run.stats.add(part.outcomes, gone=part.gone, recorded=part.run)
            metrics.count(bucket, part.outcomes, gone=part.gone)
            parts.append(part.address)
    get_run_logger().debug(
        "%s objects written to the table and %s; so far %s",
        f"{len(outcomes):,}",
        ", ".join(parts),
        run.stats.summary(),
        extra={"bucket": bucket, "objects": len(outcomes), "part": ", ".join(parts)},
    )
