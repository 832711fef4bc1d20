"""`media-enricher migrate`: create or update the tables and functions in the database."""

from __future__ import annotations

from typing import Annotated

import typer

from media_enricher import migrations
from media_enricher.cli.console import JOB_FAILED, console, fail
from media_enricher.migrations import MigrationError
from media_enricher.settings import SettingsError, database_settings


def migrate(
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", "--check", help="Print the pending migrations and change nothing."
        ),
    ] = False,
) -> None:
    """Apply the pending migrations to the database at DATABASE_URL."""
    try:
        database_url = database_settings().database_url.get_secret_value()
    except SettingsError as error:
        fail(str(error))
    try:
        names = migrations.pending(database_url) if dry_run else migrations.apply(database_url)
    except MigrationError as error:
        fail(str(error), JOB_FAILED)
    verb = "would apply" if dry_run else "applied"
    for name in names:
        console.print(f"{verb} {name}", highlight=False, markup=False)
    if not names:
        console.print("The database is up to date.")
