"""`media-enricher snapshot RUN`: summarise the snapshot of a run."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
import typer
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from media_enricher.cli.console import BAD_INPUT, JOB_FAILED, console, duration, fail, rate
from media_enricher.settings import SettingsError, supabase_settings
from media_enricher.snapshot.near_duplicates import MAX_DISTANCE
from media_enricher.snapshot.reader import open_snapshot
from media_enricher.snapshot.summary import DEFAULT_DISTANCE, Duplicates, Summary, summarise
from media_enricher.snapshot.targets import SnapshotError
from media_enricher.supabase.bucket import Bucket
from media_enricher.supabase.client import connect
from media_enricher.supabase.errors import SupabaseError
from media_enricher.supabase.runs import RunTable

PATHS_SHOWN = 3
"""The number of paths shown of each group of duplicates."""


def snapshot(
    run: Annotated[
        str,
        typer.Argument(help="The id of a run, or an address: bucket:NAME/…, a folder or a file."),
    ],
    near: Annotated[
        int,
        typer.Option(
            min=0,
            max=MAX_DISTANCE,
            help="The maximum number of bits, of 64, in which hashes of look-alikes differ.",
        ),
    ] = DEFAULT_DISTANCE,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print the formats, failures by reason, duplicates and look-alikes of a run."""
    try:
        summary = summarise(open_snapshot(_address(run), _open_bucket), near_distance=near)
    except SettingsError as error:
        fail(str(error), BAD_INPUT)
    except (SnapshotError, SupabaseError) as error:
        fail(str(error), JOB_FAILED)
    if as_json:
        typer.echo(msgspec.json.encode(summary))
    else:
        _print(summary)


def _address(run: str) -> str:
    """The address of a run's snapshot; a value that is not a run's id is an address itself.

    Raises:
        SnapshotError: there is no such run, or it has no snapshot.
    """
    try:
        run_id = str(UUID(run))
    except ValueError:
        return run
    row = RunTable(connect(supabase_settings())).get(run_id)
    if row is None:
        raise SnapshotError(
            f"there is no run {run_id}. `media-enricher runs` lists the recent ones"
        )
    if row.snapshot_path is None:
        raise SnapshotError(f"run {run_id} ({row.status}) has no snapshot: it processed no objects")
    return row.snapshot_path


def _open_bucket(name: str) -> Bucket:
    return Bucket(connect(supabase_settings()), name)


def _print(summary: Summary) -> None:
    for line in _headlines(summary):
        console.print(line, highlight=False, soft_wrap=True)
    if summary.formats:
        _print_table("Formats", _formats(summary))
    if summary.reasons:
        _print_table("Objects without metadata, by reason", _reasons(summary))
    _print_duplicates("Duplicates (same sha256)", summary.duplicates)
    _print_duplicates(
        f"Look-alikes (perceptual hashes within {summary.near_distance} bits)",
        summary.near_duplicates,
    )


def _headlines(summary: Summary) -> list[str]:
    statuses = ", ".join(f"{count:,} {status}" for status, count in summary.statuses.items())
    return [
        f"[bold]Run {summary.run_id}[/] on [bold]{escape(summary.bucket)}[/], "
        f"{summary.started_at:%Y-%m-%d %H:%M:%S} UTC",
        f"[dim]{escape(summary.address)} ({_count(summary.parts, 'part')})[/]",
        f"{_count(summary.objects, 'object')}: {statuses}"
        + (f"; {summary.replaced:,} changed since the previous read" * bool(summary.replaced)),
        f"{decimal(summary.bytes_read)} read of {decimal(summary.size_bytes)} in "
        f"{duration(summary.elapsed_seconds)}: {rate(summary.objects_per_second)} objects/s "
        f"(median download {_milliseconds(summary.median_download_seconds)}, "
        f"probe {_milliseconds(summary.median_probe_seconds)})",
    ]


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1_000:,.1f} ms"


def _formats(summary: Summary) -> Table:
    table = _table("format", "objects", "size")
    for each in summary.formats:
        table.add_row(escape(each.format), f"{each.objects:,}", decimal(each.size_bytes))
    return table


def _reasons(summary: Summary) -> Table:
    table = _table("reason", "objects", "for example")
    table.columns[2].justify = "left"
    for each in summary.reasons:
        message = f"\n[dim]{escape(each.example_message)}[/]" if each.example_message else ""
        table.add_row(
            f"[{'red' if each.status == 'failed' else 'yellow'}]{escape(each.error_code)}[/]",
            f"{each.objects:,}",
            escape(each.example_path) + message,
        )
    return table


def _print_duplicates(title: str, found: Duplicates) -> None:
    if not found.groups:
        console.print(f"\n[bold]{title}[/]: none", highlight=False, soft_wrap=True)
        return
    table = _table("objects", "could be saved", "paths")
    table.columns[2].justify = "left"
    for group in found.worst:
        shown = [escape(path) for path in group.paths[:PATHS_SHOWN]]
        if len(group.paths) > PATHS_SHOWN:
            shown.append(f"[dim]and {len(group.paths) - PATHS_SHOWN:,} more[/]")
        table.add_row(f"{len(group.paths):,}", decimal(group.wasted_bytes), "\n".join(shown))
    groups = _count(found.groups, "group")
    if found.groups > len(found.worst):
        groups += f", of which {len(found.worst)}"
    _print_table(f"{title}: {found.objects:,} objects in {groups}", table)


def _table(first: str, *numbers: str) -> Table:
    table = Table(header_style="dim", box=None, pad_edge=False)
    table.add_column(first)
    for name in numbers:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _print_table(title: str, table: Table) -> None:
    console.print(f"\n[bold]{title}[/]", highlight=False, soft_wrap=True)
    console.print(table)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
