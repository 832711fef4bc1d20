"""Instead of all steps: say what a run would do and cost. A dry run writes nothing to Supabase."""

from __future__ import annotations

from prefect import get_run_logger, task

from media_enricher.metrics import Stage
from media_enricher.models import Selection
from media_enricher.orchestration import artifacts, resources
from media_enricher.orchestration.opening import require_bucket
from media_enricher.run_cost import Cost, Estimate


@task(name="preview", task_run_name="preview", persist_result=False)
def preview(selection: Selection, *, limit: int | None, max_bytes: int | None) -> str:
    """Estimate what a run would cost, create an artifact of it, and return it in one sentence.

    Args:
        selection: bucket, prefix, mode and depth.
        limit: the most objects that the run would process; None for all.
        max_bytes: the most bytes that it would read; None for any number.

    Raises:
        OwnBucketError: the bucket is one that runs write to.
        UnknownBucketError: there is no such bucket.
        SupabaseError: Supabase did not respond.
    """
    require_bucket(selection.bucket)
    with resources.metrics().timed(selection.bucket, Stage.PLAN):
        estimate = resources.asset_table().estimate(selection, limit=limit, max_bytes=max_bytes)
    artifacts.show_text(
        "media-enricher-dry-run",
        _markdown(selection, estimate),
        description="What a run would cost",
    )
    get_run_logger().info(
        "%s (mode %s, depth %s)", estimate.summary(), selection.mode, selection.depth
    )
    return f"Dry run: {estimate.summary()}"


def _markdown(selection: Selection, estimate: Estimate) -> str:
    lines = [
        f"# Dry run of {selection.bucket}/{selection.prefix}",
        "",
        f"**{estimate.objects:,} objects to enrich**, mode `{selection.mode}`: "
        f"{estimate.size_bytes:,} bytes stored.",
        "",
        "| depth | bytes to read (egress) | seconds |",
        "| --- | ---: | ---: |",
        _row(selection.depth, estimate.cost),
    ]
    if estimate.header is not None:
        lines += [_row("header", estimate.header), "", str(estimate.suggestion())]
    return "\n".join(lines)


def _row(depth: str, cost: Cost) -> str:
    seconds = "unknown" if cost.seconds is None else f"{cost.seconds:,.0f}"
    return f"| {depth} | {cost.read_bytes:,} | {seconds} |"
