"""`media-enricher probe FILE…`: print the metadata of local files."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text

from media_enricher.cli.console import BAD_INPUT, JOB_FAILED, err_console, fail
from media_enricher.models import ENRICHER_VERSION, AssetStatus, Depth, Findings
from media_enricher.probe import (
    MOST_RANGE_BYTES,
    ProbeOptions,
    first_range,
    probe_full,
    probe_header,
)
from media_enricher.probe.parts import Parts
from media_enricher.settings import SettingsError, settings


def probe(
    files: Annotated[list[Path], typer.Argument(help="The files to read.", metavar="FILE…")],
    depth: Annotated[
        Depth,
        typer.Option(help="`header` reads only the start of each file and decodes no pixels."),
    ] = Depth.FULL,
    as_lines: Annotated[
        bool, typer.Option("--jsonl", help="Print one JSON object per line, for jq or for loading.")
    ] = False,
) -> None:
    """Print the metadata of local files, as JSON with the columns of media_assets.

    The exit code is 2 if a file can't be read, else 1 if the metadata of a file can't be computed.
    """
    options = _options()
    worst = 0
    for file in files:
        try:
            row = _row(file, depth, options)
        except OSError as error:
            err_console.print(
                Text(f"Cannot read {file}: {error.strerror}.", style="red"), soft_wrap=True
            )
            worst = BAD_INPUT
            continue
        if row["status"] == AssetStatus.FAILED:
            worst = max(worst, JOB_FAILED)
        line = msgspec.json.encode(row)
        typer.echo(line if as_lines else msgspec.json.format(line, indent=2))
    if worst:
        raise typer.Exit(worst)


def _options() -> ProbeOptions:
    try:
        configured = settings()
    except SettingsError as error:
        fail(str(error), BAD_INPUT)
    return ProbeOptions(
        max_pixels=configured.max_pixels,
        location=configured.location,
        text_excerpt=configured.text_excerpt,
        exif_tags=configured.exif_tags,
    )


def _row(file: Path, depth: Depth, options: ProbeOptions) -> dict[str, Any]:
    """The file's columns, in the order of the table; unknown values are left out."""
    declared, _ = mimetypes.guess_type(file.name)
    found = _found(file, declared, depth, options)
    return {
        "path": str(file),
        "size_bytes": file.stat().st_size,
        "declared_content_type": declared,
        **msgspec.to_builtins(found),
        "depth": depth,
        "enricher_version": ENRICHER_VERSION,
    }


def _found(file: Path, declared: str | None, depth: Depth, options: ProbeOptions) -> Findings:
    """Read the bytes that the probe asks for, as the engine does over HTTP."""
    size = file.stat().st_size
    most = settings().max_whole_mb * 1024 * 1024
    reads_whole = depth is Depth.FULL and size <= most
    probe = probe_full if depth is Depth.FULL else probe_header
    with file.open("rb") as opened:
        parts = Parts(opened.read(size if reads_whole else first_range(file.name, declared)))
        while True:
            found = probe(
                parts.first,
                size_bytes=size,
                path=file.name,
                declared_content_type=declared,
                options=options,
                rest=parts.rest,
                limit=MOST_RANGE_BYTES,
            )
            if isinstance(found, Findings):
                return found
            for each in parts.missing(found.ranges):
                opened.seek(each.start)
                parts.add(each.start, opened.read(each.stop - each.start))
