"""Third step: make outcomes durable. Rows, then the snapshot, then the counters that tell of both.

Each of the three may be repeated without harm, so whatever is interrupted between them is mended by
the next write or the next run.
"""

from __future__ import annotations

from collections.abc import Sequence

from prefect import get_run_logger, task

from media_enricher.metrics import Stage
from media_enricher.models import Outcome
from tasks import resources
from tasks.run import Run


@task(name="write", task_run_name="write", persist_result=False)
def write(run: Run, outcomes: Sequence[Outcome]) -> None:
    """Upsert the rows of `media_assets`, add a part to the snapshot, move the run's counters.

    Raises:
        SupabaseError: the database or Storage did not take it, after retries; the outcomes are in
            the task cache, so the run can be repeated without reading the objects again.
        OutageError: it is of no use to go on reading.
    """
    bucket, metrics = run.selection.bucket, resources.metrics()
    with metrics.timed(bucket, Stage.WRITE):
        gone = frozenset(
            resources.asset_table().record(run.id, [outcome.asset for outcome in outcomes])
        )
        part = run.snapshot.write(outcomes)
        run.account.add(outcomes, gone=gone)
        run.save_counters()
    metrics.count(bucket, outcomes, gone=gone)
    get_run_logger().debug(
        "%s objects written to the table and %s; so far %s",
        f"{len(outcomes):,}",
        part,
        run.account.sentence(),
        extra={"bucket": bucket, "objects": len(outcomes), "part": part},
    )
    run.account.raise_if_outage()
