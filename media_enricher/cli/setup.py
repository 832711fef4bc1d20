"""`media-enricher setup`: all that a Prefect server has to know before a run can start."""

from __future__ import annotations

import asyncio
from typing import Annotated

import httpx
import typer
from rich.text import Text

from media_enricher.cli.console import BAD_INPUT, JOB_FAILED, console, fail
from media_enricher.settings import SettingsError, setup_settings, supabase_settings
from media_enricher.setup.resources import Outcome, PoolType, Resource, SetupError
from media_enricher.supabase.errors import SupabaseError
from process_control.importing import importing

_STYLES = {
    Outcome.CREATED: "green",
    Outcome.UNCHANGED: "dim",
    Outcome.UPDATED: "cyan",
    Outcome.SKIPPED: "yellow",
}


def setup(
    work_pool: Annotated[
        PoolType | None,
        typer.Option(help="Where workers start runs. Default: unchanged, or process if new."),
    ] = None,
    nightly: Annotated[
        str | None,
        typer.Option(metavar="BUCKET", help="Turn on the nightly backfill for this bucket."),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="How long to wait for Prefect to respond."),
    ] = 0,
) -> None:
    """Create or update the work pool, queues, blocks, deployments and automations in Prefect.

    Run it again at any time, for example after an upgrade or a change of keys.
    """
    try:
        asyncio.run(_set_up(work_pool, nightly, wait))
    except SettingsError as error:
        fail(str(error), BAD_INPUT)
    except (SetupError, SupabaseError) as error:
        fail(str(error), JOB_FAILED)
    except httpx.HTTPError as error:
        fail(f"A request to Prefect failed: {error!r}. Run this command again.", JOB_FAILED)


async def _set_up(pool_type: PoolType | None, nightly: str | None, wait: float) -> None:
    # Invalid settings are reported before Prefect is imported, which takes 2 s.
    project, options = supabase_settings(), setup_settings()
    with importing():
        from media_enricher.blocks import ResultBucketError  # noqa: PLC0415
        from media_enricher.setup.setup_all import setup_all  # noqa: PLC0415

    resources = setup_all(
        project, options, pool_type=pool_type, nightly_bucket=nightly, wait_seconds=wait
    )
    try:
        async for resource in resources:
            _print(resource)
    except ResultBucketError as error:
        raise SetupError(str(error)) from None


def _print(resource: Resource) -> None:
    line = Text.assemble(
        (f"{resource.outcome:<10}", _STYLES[resource.outcome]),
        f"{resource.kind} ",
        (resource.name, "bold"),
        (f"  {resource.note}" if resource.note else "", "dim"),
    )
    console.print(line, soft_wrap=True)
