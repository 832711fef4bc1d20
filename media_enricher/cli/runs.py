"""`media-enricher runs [ID]`: list the recent runs, or show one."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec
import typer
from rich.console import RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from supabase import Client

from media_enricher.cli.console import BAD_INPUT, JOB_FAILED, console, duration, fail, rate
from media_enricher.models import EnrichRun, FailureReason, RunStatus
from media_enricher.run_stats import speed_of
from media_enricher.settings import SettingsError, supabase_settings
from media_enricher.supabase.assets import AssetTable
from media_enricher.supabase.client import connect
from media_enricher.supabase.errors import SupabaseError
from media_enricher.supabase.runs import RunTable

WATCH_SECONDS = 2.0

_STYLES = {
    RunStatus.QUEUED: "dim",
    RunStatus.RUNNING: "cyan",
    RunStatus.COMPLETED: "green",
    RunStatus.FAILED: "red",
    RunStatus.CANCELLED: "yellow",
    RunStatus.CRASHED: "red",
}


def runs(
    run_id: Annotated[
        UUID | None,
        typer.Argument(help="The id of a run, to show only this one in detail.", metavar="[ID]"),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=1_000, help="The maximum number of runs to list.")
    ] = 20,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Keep the output current until Ctrl-C or the end of the run."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON. Ignores --watch.")] = False,
) -> None:
    """List the recent runs, newest first, or show one in detail."""
    try:
        client = connect(supabase_settings())
        if run_id is not None:
            _one(client, str(run_id), watch=watch, as_json=as_json)
        else:
            _recent(RunTable(client), limit, watch=watch, as_json=as_json)
    except SettingsError as error:
        fail(str(error), BAD_INPUT)
    except SupabaseError as error:
        fail(str(error), JOB_FAILED)


def _recent(table: RunTable, limit: int, *, watch: bool, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(table.recent(limit)))
        return
    _show(lambda: (_list(table.recent(limit)), False), watch=watch)


def _one(client: Client, run_id: str, *, watch: bool, as_json: bool) -> None:
    def look() -> EnrichRun:
        run = RunTable(client).get(run_id)
        if run is None:
            fail(
                f"There is no run {run_id}. `media-enricher runs` lists the recent ones.",
                JOB_FAILED,
            )
        return run

    if as_json:
        typer.echo(msgspec.json.encode(look()))
        return

    def described() -> tuple[RenderableType, bool]:
        run = look()
        failures = AssetTable(client).failures_by_reason(run.id)
        return _details(run, failures), run.finished_at is not None

    _show(described, watch=watch)


def _show(look: Callable[[], tuple[RenderableType, bool]], *, watch: bool) -> None:
    """Print what `look` returns; with `watch`, update it until `look` says that the run is over."""
    shown, is_over = look()
    if not watch:
        console.print(shown)
        return
    with Live(shown, console=console, auto_refresh=False) as live:
        try:
            while not is_over:
                time.sleep(WATCH_SECONDS)
                shown, is_over = look()
                live.update(shown, refresh=True)
        except KeyboardInterrupt:
            return  # Ctrl-C is how a user stops watching


def _list(found: list[EnrichRun]) -> RenderableType:
    if not found:
        return "There are no runs yet. To start one: media-enricher backfill BUCKET"
    table = Table(header_style="dim", box=None, pad_edge=False)
    for name in ("started (UTC)", "status", "bucket", "mode"):
        table.add_column(name, no_wrap=name != "bucket")
    for name in ("done", "failed", "objects/s", "took"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("id", no_wrap=True)
    for run in found:
        table.add_row(
            f"{run.started_at:%Y-%m-%d %H:%M:%S}" if run.started_at else "-",
            _status(run),
            escape(f"{run.bucket}/{run.prefix}"),
            f"{run.mode} {run.depth}",
            f"{run.processed_files:,} / {run.total_files:,}",
            f"[red]{run.failed:,}[/]" if run.failed else "0",
            _rate(run),
            duration(_seconds(run)) if run.started_at else "-",
            run.id,
        )
    return table


def _details(run: EnrichRun, failures: list[FailureReason]) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    lines = {
        "run": f"[bold]{run.id}[/]",
        "status": _status(run),
        "shard of": run.parent_run_id,
        "bucket": escape(f"{run.bucket}/{run.prefix}"),
        "selection": f"mode {run.mode}, depth {run.depth}"
        + (f", at most {run.max_files:,} objects" if run.max_files is not None else "")
        + (f", at most {run.max_bytes:,} bytes" if run.max_bytes is not None else ""),
        "started": _started(run),
        "done": f"{run.processed_files:,} of {run.total_files:,}: {run.succeeded:,} enriched, "
        f"{run.failed:,} failed, {run.skipped:,} unsupported",
        "speed": f"{_rate(run)} objects/s, {duration(_seconds(run))}{_time_left(run)}",
        "stopped by": run.stopped_by
        and f"{run.stopped_by}, {run.bytes_read:,} bytes read; objects are still pending",
        "error": f"[red]{escape(run.error)}[/]" if run.error else None,
        "failures": _reasons(failures),
        "snapshot": _snapshot(run),
    }
    for name, value in lines.items():
        if value:
            table.add_row(name, value)
    return table


def _reasons(failures: list[FailureReason]) -> str:
    """The number of failures for each reason, most frequent first, each with an example."""
    return "\n".join(
        f"[red]{each.error_code}[/] {each.objects:,}, for example {escape(each.path)}"
        + (f" [dim]({escape(each.error_message)})[/]" if each.error_message else "")
        for each in failures
    )


def _status(run: EnrichRun) -> str:
    return f"[{_STYLES[run.status]}]{run.status}[/]"


def _started(run: EnrichRun) -> str | None:
    if run.started_at is None:
        return None
    by = f" by {escape(run.requested_by)}" if run.requested_by else ""
    return f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC, {run.trigger}{by}"


def _snapshot(run: EnrichRun) -> str | None:
    if run.snapshot_path is None:
        return None
    return f"{escape(run.snapshot_path)}\n[dim]media-enricher snapshot {run.id}[/]"


def _seconds(run: EnrichRun) -> float:
    """The time from the start to the end of the run, or to now."""
    if run.started_at is None:
        return 0.0
    return max(0.0, ((run.finished_at or datetime.now(UTC)) - run.started_at).total_seconds())


def _rate(run: EnrichRun) -> str:
    per_second = speed_of(run).objects_per_second
    return "-" if per_second is None else rate(per_second)


def _time_left(run: EnrichRun) -> str:
    """The time left at the current speed; empty for a run that is not alive."""
    left = speed_of(run).seconds_left
    return "" if left is None else f" so far, about {duration(left)} left"
