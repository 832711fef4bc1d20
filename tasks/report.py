"""Last step: show progress, failures and a summary of a run in the Prefect UI."""

from __future__ import annotations

import time

from prefect import task

from media_enricher.orchestration import artifacts, resources
from media_enricher.orchestration.run import Run
from media_enricher.orchestration.sharded_run import ShardedRun
from media_enricher.run_stats import Counts, RunStats

PROGRESS_SECONDS = 3.0


class Progress:
    """The run's progress bar, updated every few seconds: each update is a request to Prefect."""

    def __init__(self, stats: Counts) -> None:
        """Create the bar."""
        self._stats = stats
        self._bar = artifacts.ProgressBar()
        self._bar.update(0.0, "Starting")
        self._moved_at = time.monotonic()

    def move(self) -> None:
        """Update the bar, unless it was updated less than `PROGRESS_SECONDS` ago."""
        if time.monotonic() - self._moved_at >= PROGRESS_SECONDS:
            self.show()

    def show(self) -> None:
        """Update the bar."""
        stats = self._stats
        share = stats.processed / stats.total if stats.total else 1.0
        self._bar.update(
            round(100 * share, 1),
            f"{stats.summary()}, {stats.per_second:,.0f} objects/s"
            f"{', still counting' if stats.is_counting else ''}",
        )
        self._moved_at = time.monotonic()


@task(name="report", task_run_name="report", persist_result=False)
def report(run: Run, *, reused: int) -> None:
    """Create the summary artifact of a finished run, and a table of its failures, if any.

    Raises:
        SupabaseError: the run table did not accept how the run ended.
    """
    run.settle()
    stats = run.stats
    artifacts.show_text(
        "media-enricher-summary", _summary(run, reused), description="Summary of the run"
    )
    if stats.failures:
        artifacts.show_table(
            "media-enricher-failures",
            _failure_table(stats),
            description="Failures by reason, with examples",
        )


@task(name="report", task_run_name="report", persist_result=False)
def report_shards(run: ShardedRun) -> None:
    """Create the summary artifact of a sharded run, and a table of the failures of all shards.

    Raises:
        SupabaseError: the database did not respond.
    """
    run.settle()
    artifacts.show_text(
        "media-enricher-summary",
        _summary_of_shards(run),
        description="Summary of the run and its shards",
    )
    failures = resources.asset_table().failures_by_reason(run.id)
    if failures:
        artifacts.show_table(
            "media-enricher-failures",
            [
                {
                    "error_code": reason.error_code,
                    "objects": reason.objects,
                    "example": reason.path,
                    "error_message": reason.error_message,
                }
                for reason in failures
            ],
            description="Failures by reason, with one example each",
        )


def _summary_of_shards(run: ShardedRun) -> str:
    selection, stats = run.selection, run.stats
    lines = [
        f"# {selection.bucket}/{selection.prefix}",
        "",
        f"**{run.summary()}** (mode `{selection.mode}`, depth `{selection.depth}`)",
        "",
        f"- {stats.per_second:,.1f} objects/s, {stats.bytes_read / 2**20:,.1f} MiB read",
    ]
    if run.shards:
        lines += [
            "",
            "| shard | after | until | run | outcome |",
            "| ---: | --- | --- | --- | --- |",
        ]
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
    """The text, escaped for a cell of a Markdown table."""
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
        f"**{run.summary()}** (mode `{selection.mode}`, depth `{selection.depth}`)",
        "",
        f"- {stats.per_second:,.1f} objects/s, "
        f"{stats.bytes_read / 2**20:,.1f} MiB read, "
        f"{stats.bytes_read / 2**20 / (stats.seconds or 1):,.1f} MiB/s",
        f"- snapshot: `{run.snapshot.path}`",
    ]
    if reused:
        lines.append(f"- {reused:,} objects reused from the task cache")
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
