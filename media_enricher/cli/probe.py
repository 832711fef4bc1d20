"""`media-enricher probe FILE…`: what the probe finds in local files."""

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
    NeedMoreBytes,
    ProbeOptions,
    first_range,
    probe_full,
    probe_header,
)
from media_enricher.settings import SettingsError, settings


def probe(
    files: Annotated[list[Path], typer.Argument(help="Files to look into.", metavar="FILE…")],
    depth: Annotated[
        Depth, typer.Option(help="`header` reads a bounded start and decodes no pixels.")
    ] = Depth.FULL,
    as_lines: Annotated[
        bool, typer.Option("--jsonl", help="One JSON object a line, fit for jq and loading.")
    ] = False,
) -> None:
    """Print the metadata of local files, as JSON with the columns of media_assets.

    Ends with 2 if a file can't be opened, else with 1 if one could not be enriched.
    """
    options = _options()
    worst = 0
    for file in files:
        try:
            row = _row(file, depth, options)
        except OSError as error:
            err_console.print(
                Text(f"{file} can't be read: {error.strerror}.", style="red"), soft_wrap=True
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
        ours = settings()
    except SettingsError as error:
        fail(str(error), BAD_INPUT)
    return ProbeOptions(
        max_pixels=ours.max_pixels, location=ours.location, exif_tags=ours.exif_tags
    )


def _row(file: Path, depth: Depth, options: ProbeOptions) -> dict[str, Any]:
    """The file's columns, in the order of the table; what is not known is left out."""
    declared, _ = mimetypes.guess_type(file.name)
    found = (
        _full(file, declared, options) if depth is Depth.FULL else _header(file, declared, options)
    )
    return {
        "path": str(file),
        "size_bytes": file.stat().st_size,
        "declared_content_type": declared,
        **msgspec.to_builtins(found),
        "depth": depth,
        "enricher_version": ENRICHER_VERSION,
    }


def _full(file: Path, declared: str | None, options: ProbeOptions) -> Findings:
    return probe_full(
        file.read_bytes(), path=file.name, declared_content_type=declared, options=options
    )


def _header(file: Path, declared: str | None, options: ProbeOptions) -> Findings:
    """Read on as far as the probe asks, as an engine worker does over HTTP."""
    length = first_range(file.name, declared)
    with file.open("rb") as opened:
        while True:
            opened.seek(0)
            found = probe_header(
                opened.read(length),
                size_bytes=file.stat().st_size,
                path=file.name,
                declared_content_type=declared,
                options=options,
            )
            if not isinstance(found, NeedMoreBytes):
                return found
            length = found.first_bytes
