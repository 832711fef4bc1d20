"""Say in the Prefect UI what a run did to content types."""

from __future__ import annotations

from prefect import task

from media_enricher.orchestration import artifacts
from media_enricher.orchestration.type_repair_run import TypeRepairRun


@task(name="report", task_run_name="report", persist_result=False)
def report_type_repairs(run: TypeRepairRun, *, dry_run: bool) -> None:
    """Create the artifact that sums up a run, or what a run would do."""
    stats = run.stats
    lines = [
        f"# {run.bucket.name}/{run.prefix}",
        "",
        f"**{stats.intent() if dry_run else stats.summary()}**",
    ]
    lines += _table(
        "declared as | to be | objects",
        [(*types, count) for types, count in stats.planned.most_common()],
    )
    lines += _table("outcome | objects", [*stats.outcomes.most_common()])
    lines += _table("left as it is | objects", [*stats.left.most_common()])
    artifacts.show_text(
        "media-enricher-type-repairs", "\n".join(lines), description="Repaired content types"
    )


def _table(header: str, rows: list[tuple[str | int, ...]]) -> list[str]:
    if not rows:
        return []
    columns = header.split(" | ")
    rule = ["---"] * (len(columns) - 1) + ["---:"]
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return ["", *(f"| {' | '.join(line)} |" for line in (columns, rule, *cells))]
