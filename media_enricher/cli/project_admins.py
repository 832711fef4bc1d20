"""`media-enricher project-admins on|off|status`: let admins without a tenant read all rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from media_enricher import project_admins
from media_enricher.cli.console import JOB_FAILED, console, fail
from media_enricher.project_admins import ProjectAdminsError
from media_enricher.settings import SettingsError, database_settings

app = typer.Typer(
    help="Admins of the whole project: whether they read all rows with supabase-js.",
    no_args_is_help=True,
)


@app.command()
def on() -> None:
    """Let users whose app_metadata says admin, and names no tenant, read all rows.

    It adds a policy to each table of the database at DATABASE_URL. Run it again after an upgrade.
    """
    with _failing_well():
        project_admins.turn_on(_database_url())
        _print()


@app.command()
def off() -> None:
    """Remove these policies: such users read their own rows, as everybody does."""
    with _failing_well():
        project_admins.turn_off(_database_url())
        _print()


@app.command()
def status() -> None:
    """Say whether they read all rows. Changes nothing."""
    with _failing_well():
        _print()


def _database_url() -> str:
    return database_settings().database_url.get_secret_value()


@contextmanager
def _failing_well() -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        fail(str(error))
    except ProjectAdminsError as error:
        fail(str(error), JOB_FAILED)


def _print() -> None:
    console.print(
        _described(project_admins.missing(_database_url())), highlight=False, soft_wrap=True
    )


def _described(missing: list[str]) -> str:
    if not missing:
        return "On: admins without a tenant read all media, totals and runs."
    if len(missing) == len(project_admins.TABLES):
        return "Off: admins without a tenant read their own rows, as everybody does."
    return (
        f"Incomplete: admins without a tenant do not read all of {', '.join(missing)}. "
        "Run `media-enricher project-admins on`."
    )
