"""The command line: `media-enricher …`. One file per command; this one only gathers them."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="media-enricher",
    help="Metadata for every object of a Supabase Storage bucket.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold keys
)
