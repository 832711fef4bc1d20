"""`media-enricher up`: run everything on this machine, in the foreground."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from dotenv import dotenv_values
from rich.markup import escape
from storage3.exceptions import StorageApiError

from media_enricher.cli.console import (
    BAD_INPUT,
    JOB_FAILED,
    console,
    fail,
    step,
    tell,
    tell_how_to_sign_in_to_prefect,
)
from media_enricher.demo import filling
from media_enricher.demo.packages import PackagesError
from media_enricher.demo.photographs import WHAT, demo_photographs
from media_enricher.dev.environment import DevEnvironment
from media_enricher.migrations import MigrationError
from media_enricher.settings import (
    SettingsError,
    gateway_settings,
    settings,
    setup_settings,
    supabase_settings,
)
from media_enricher.supabase.bucket import Bucket
from media_enricher.supabase.client import connect
from media_enricher.supabase.errors import SupabaseError
from process_control.signals import Interruption
from supabase_local import LocalStack, LocalStackError

FOLDER = Path(".media-enricher/up")
SUPERVISION_SECONDS = 0.5


def up(
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65_535, help="The port of the gateway. Default: 8090, or any free port."
        ),
    ] = None,
    empty: Annotated[
        bool, typer.Option("--empty", help="Do not put sample photographs into a new local stack.")
    ] = False,
    folder: Annotated[Path, typer.Option(help="The folder for data, keys and logs.")] = FOLDER,
) -> None:
    """Start Supabase, Prefect, a worker and the gateway, and run them until Ctrl-C.

    If SUPABASE_URL or PREFECT_API_URL is set in the environment or in .env, that Supabase project
    or Prefect server is used, and no local one is started.
    """
    dotenv = _dotenv()
    environment = dotenv | dict(os.environ)
    project = _named(environment, "SUPABASE_", "NEXT_PUBLIC_SUPABASE_", needs="SUPABASE_URL")
    prefect = _named(environment, "PREFECT_", needs="PREFECT_API_URL")
    try:
        _check_settings(project)
        with (
            Interruption(),
            _start(folder, port, dotenv, project, prefect, empty=empty) as site,
        ):
            _describe(site)
            while (ended := site.ended()) is None:
                time.sleep(SUPERVISION_SECONDS)
    except KeyboardInterrupt:
        console.print("Stopped.")
        return
    except SettingsError as error:
        fail(str(error), BAD_INPUT)
    except (
        LocalStackError,
        MigrationError,
        PackagesError,
        StorageApiError,
        SupabaseError,
    ) as error:
        fail(str(error), JOB_FAILED)
    fail(
        f"Stopped, because {ended.what} ended unexpectedly{ended.reason}. Its log: {ended.log}",
        JOB_FAILED,
    )


def _check_settings(project: Mapping[str, str] | None) -> None:
    """Check all settings before anything is started.

    Raises:
        SettingsError: a value is invalid, or missing where a project is named.
    """
    if project is not None:
        supabase_settings()
    settings()
    gateway_settings()
    setup_settings()


def _start(
    folder: Path,
    port: int | None,
    dotenv: Mapping[str, str],
    project: Mapping[str, str] | None,
    prefect: Mapping[str, str] | None,
    *,
    empty: bool,
) -> DevEnvironment:
    def fill(stack: LocalStack) -> None:
        if not empty:
            _fill(stack, shared=folder.parent)

    with step("starting Supabase, Prefect, a worker and the gateway") as done:
        site = DevEnvironment.start(
            folder,
            port=port,
            supabase=project,
            prefect=prefect,
            settings=dotenv,
            edge_function=gateway_settings().edge_function,
            prepare=fill,
        )
        done("everything is running")
    return site


def _fill(stack: LocalStack, shared: Path) -> None:
    """Put the demo's photographs into its bucket, unless the bucket exists."""
    if Bucket(connect(filling.settings_of(stack)), filling.BUCKET).exists():
        return
    with step() as done:
        objects = demo_photographs(shared / "photographs", cache=shared / "packages")
        asyncio.run(filling.allow_uploads(stack.database_url))
        filling.fill(stack, objects)
        done(f"bucket [bold]{filling.BUCKET}[/]: {len(objects)} files, {WHAT}")


def _describe(site: DevEnvironment) -> None:
    """Print all addresses and keys, and who may sign in."""
    gateway = f"{site.gateway_url}/media-enricher"
    tell({"admin page": f"{gateway}/admin", "gateway": gateway})
    if site.stack:
        tell(
            {
                "gateway, by Supabase": f"{site.stack.url}/functions/v1/media-enricher",
                "Supabase": site.stack.url,
                "service key": site.stack.service_key,
                "publishable key": site.stack.anon_key,
                "database": site.stack.database_url,
            }
        )
    else:
        url = escape(supabase_settings().url)
        console.print(
            f"  {'Supabase':22} [bold]{url}[/] (from SUPABASE_URL; no local stack)",
            highlight=False,
            soft_wrap=True,
        )
    tell({"Prefect": site.prefect_url})
    if site.auth_string:
        tell({"Prefect's password": site.auth_string})
    if site.stack:
        tell({user.email: f"password {user.password}" for user in site.stack.users})
        console.print("\nSign in to the admin page as admin@example.com.", highlight=False)
    if site.auth_string:
        tell_how_to_sign_in_to_prefect(site.auth_string)
    console.print(f"Data and logs are in {site.folder}. Running until Ctrl-C.", highlight=False)


def _dotenv() -> dict[str, str]:
    """What `.env` adds to the environment: runs start in another folder and do not find it."""
    return {
        name: value
        for name, value in dotenv_values(".env").items()
        if value and name not in os.environ
    }


def _named(environment: Mapping[str, str], *prefixes: str, needs: str) -> dict[str, str] | None:
    """The variables of an external server; None unless the one that names it is set."""
    found = {name: value for name, value in environment.items() if name.startswith(prefixes)}
    is_named = any(name.endswith(needs) for name in found)
    return found if is_named else None
