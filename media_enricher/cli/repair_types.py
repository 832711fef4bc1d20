"""`media-enricher repair-types BUCKET`: let Storage serve objects as what their bytes are."""

from __future__ import annotations

from typing import Annotated

import typer

from media_enricher.cli.backfill import run_flow
from media_enricher.cli.console import BAD_INPUT, console, fail
from media_enricher.settings import SettingsError, supabase_settings


def repair_types(
    bucket: Annotated[str, typer.Argument(help="The Storage bucket to process.")],
    prefix: Annotated[
        str, typer.Option(help="Only objects whose path starts with this text.")
    ] = "",
    limit: Annotated[
        int | None, typer.Option(min=1, help="The maximum number of objects to repair.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what is to be repaired and change nothing.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the log of the flow.")] = False,
) -> None:
    """Correct the declared content types of enriched objects, on this machine."""
    try:
        supabase_settings()
    except SettingsError as error:
        fail(str(error), BAD_INPUT)
    ended = run_flow(
        "repair-types",
        {"bucket": bucket, "prefix": prefix, "limit": limit, "dry_run": dry_run},
        verbose=verbose,
    )
    console.print(ended.message, style="green" if ended.exit_code == 0 else "red", markup=False)
    raise typer.Exit(ended.exit_code)
