"""Last step: what a person sees of a run in the Prefect UI: progress, failures, summary."""

from __future__ import annotations

import time
from typing import cast
from uuid import UUID

from prefect import task
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from media_enricher.orchestration import resources
from media_enricher.orchestration.run import Run
from media_enricher.orchestration.sharded_run import ShardedRun
from media_enricher.run_stats import Counts, RunStats

PROGRESS_SECONDS = 3.0


class Progress:
    """The run's progress bar, moved at most every few seconds: each move is a call to Prefect."""

    def __init__(self, stats: Counts) -> None:
        """Show the bar at its start."""
        self._stats = stats
        # Prefect's functions are typed for async callers too; here they have returned.
        self._artifact = cast(
            "UUID", create_progress_artifact(progress=0.0, description="Starting")
        )
        self._moved_at = time.monotonic()

    def move(self) -> None:
        """Show where the run is, unless it was shown just now."""
        if time.monotonic() - self._moved_at >= PROGRESS_SECONDS:
            self.show()

    def show(self) -> None:
        """Show where the run is."""
        stats = self._stats
        share = stats.processed / stats.total if stats.total else 1.0
        update_progress_artifact(
            self._artifact,
            progress=round(100 * share, 1),
            description=f"{stats.summary()}, {stats.per_second:,.0f} a second",
        )
        self._moved_at = time.monotonic()


@task(name="report", task_run_name="report", persist_result=False)
def report(run: Run, *, reused: int) -> None:
    """Leave the summary of a finished run, and a table of its failures where there are any."""
    stats = run.stats
    create_markdown_artifact(
        key="media-enricher-summary",
        description="What the run did",
        markdown=_summary(run, reused),
    )
    if stats.failures:
        create_table_artifact(
            key="media-enricher-failures",
            description="Failures by reason, with examples",
            table=_failure_table(stats),
        )


@task(name="report", task_run_name="report", persist_result=False)
def report_shards(run: ShardedRun) -> None:
    """Leave the summary of a sharded run, and its failures by reason, those of all its shards.

    Raises:
        SupabaseError: the database did not answer.
    """
    create_markdown_artifact(
        key="media-enricher-summary",
        description="What the shards did",
        markdown=_summary_of_shards(run),
    )
    failures = resources.asset_table().failures_by_reason(run.id)
    if failures:
        create_table_artifact(
            key="media-enricher-failures",
            description="Failures by reason, with an example each",
            table=[
                {
                    "error_code": reason.error_code,
                    "objects": reason.objects,
                    "example": reason.path,
                    "error_message": reason.error_message,
                }
                for reason in failures
            ],
        )


def _summary_of_shards(run: ShardedRun) -> str:
    selection, stats = run.selection, run.stats
    lines = [
        f"# {selection.bucket}/{selection.prefix}",
        "",
        f"**{stats.summary()}** (mode `{selection.mode}`, depth `{selection.depth}`)",
        "",
        f"- {stats.per_second:,.1f} objects a second, {stats.bytes_read / 2**20:,.1f} MiB read",
    ]
    if run.shards:
        lines += ["", "| shard | after | until | run | ended |", "| ---: | --- | --- | --- | --- |"]
        lines += [
            "| "
            + " | ".join(
                _cell(text)
                for text in (
                    *(str(shard.number), shard.after, shard.until),
                    *(str(shard.flow_run.id), shard.outcome),
                )
            )
            + " |"
            for shard in run.shards
        ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """As it stands in a cell of a table."""
    return text.replace("\n", " ").replace("|", "\\|")


def _failure_table(stats: RunStats) -> list[dict[str, object]]:
    return [
        {"error_code": code, "objects": count, "example": path, "error_message": message}
        for code, count in stats.failures.most_common()
        for path, message in stats.samples[code]
    ]


def _summary(run: Run, reused: int) -> str:
    selection, stats = run.selection, run.stats
    lines = [
        f"# {selection.bucket}/{selection.prefix}",
        "",
        f"**{stats.summary()}** (mode `{selection.mode}`, depth `{selection.depth}`)",
        "",
        f"- {stats.per_second:,.1f} objects a second, "
        f"{stats.bytes_read / 2**20:,.1f} MiB read, "
        f"{stats.bytes_read / 2**20 / (stats.seconds or 1):,.1f} MiB a second",
        f"- snapshot: `{run.snapshot.path}`",
    ]
    if reused:
        lines.append(f"- {reused:,} taken from the task cache instead of being read again")
    if stats.formats:
        lines += ["", "| format | objects | MiB |", "| --- | ---: | ---: |"]
        lines += [
            f"| {name} | {count:,} | {stats.format_bytes[name] / 2**20:,.1f} |"
            for name, count in stats.formats.most_common()
        ]
    if stats.failures:
        lines += ["", "| failure | objects |", "| --- | ---: |"]
        lines += [f"| {code} | {count:,} |" for code, count in stats.failures.most_common()]
    return "\n".join(lines)
