"""`media-enricher demo`: the whole job on real photographs, on a local stack of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.markup import escape
from storage3.exceptions import StorageApiError

from media_enricher import migrations
from media_enricher.cli.backfill import Ended, run_backfill
from media_enricher.cli.console import (
    BAD_INPUT,
    JOB_FAILED,
    console,
    fail,
    mark,
    step,
    tell,
    tell_how_to_sign_in_to_prefect,
)
from media_enricher.cli.snapshot import snapshot
from media_enricher.demo import audit, filling
from media_enricher.demo.packages import PackagesError
from media_enricher.demo.photographs import WHAT, demo_photographs, objects_of
from media_enricher.demo.tables import rows_table
from media_enricher.dev.prefect_server import PrefectServer
from media_enricher.settings import SettingsError, settings
from media_enricher.supabase.errors import SupabaseError
from process_control.signals import Interruption
from supabase_local import LocalStack, LocalStackError

FOLDER = Path(".media-enricher/demo")
INTERRUPTED = 130


def demo(
    images: Annotated[
        Path | None, typer.Option(help="A folder of your own files to process. It is only read.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep everything running until Ctrl-C.")
    ] = False,
    folder: Annotated[
        Path, typer.Option(help="The folder for the demo's data. Each demo starts empty.")
    ] = FOLDER,
) -> None:
    """Process real photographs on a temporary local stack, and check the results."""
    try:
        settings()  # an invalid setting fails before anything is started
        with Interruption():
            objects = _choose_files(folder, images)
            _make_room(folder)
            held = _play(folder, objects, keep=keep)
    except SettingsError as error:
        fail(str(error), BAD_INPUT)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except (
        LocalStackError,
        PackagesError,
        StorageApiError,
        SupabaseError,
    ) as error:
        fail(str(error), JOB_FAILED)
    raise typer.Exit(0 if held else JOB_FAILED)


def _choose_files(folder: Path, images: Path | None) -> dict[str, Path]:
    with step("fetching photographs") as done:
        if images is None:
            shared = folder.parent
            objects = demo_photographs(shared / "photographs", cache=shared / "packages")
            origin = WHAT
        else:
            objects = objects_of(images.expanduser())
            origin = f"from {images}"
        if not objects:
            fail(f"{images} contains no files, or is not a folder.", BAD_INPUT)
        size = decimal(sum(path.stat().st_size for path in objects.values()))
        done(f"{len(objects):,} files, {size}: {origin}")
    return objects


def _make_room(folder: Path) -> None:
    """Delete the data of the previous demo; fail if that demo is still running."""
    if running := LocalStack.find(folder / "stack"):
        fail(
            f"A demo is already running in {folder}, at {running.url}. Stop it, or choose another "
            "folder with --folder.",
            BAD_INPUT,
        )
    for part in ("stack", "prefect"):
        shutil.rmtree(folder / part, ignore_errors=True)


def _play(folder: Path, objects: Mapping[str, Path], *, keep: bool) -> bool:
    """Start everything, fill the bucket, process it twice; return whether all claims hold."""
    with (
        PrefectServer.start(folder / "prefect") as prefect,
        _started_stack(folder / "stack") as stack,
    ):
        with step("filling the bucket") as done:
            uploads = filling.fill(stack, objects)
            by_whom = ", ".join(f"{count} by {who}" for who, count in uploads.items())
            done(f"bucket [bold]{filling.BUCKET}[/] filled through the Storage API: {by_whom}")
        with step("starting a Prefect server") as done:
            prefect.wait_until_ready()
            done(f"Prefect server at {prefect.url}")

        # From here on, Supabase and Prefect are the demo's, whatever .env says.
        os.environ.update(stack.environment() | prefect.environment())
        first = _backfill("backfill")
        if first.run_id is None or first.exit_code != 0:
            return False
        claims = _show(stack, first.run_id)
        downloads = audit.downloads(stack.access_log)
        second = _backfill("backfill again")
        if second.run_id:
            claims += audit.claims_of_second_run(stack, second.run_id, downloads)
        claims += audit.claims_of_tenants(stack, uploads)
        for claim in claims:
            console.print(f"{mark(claim.holds)} {escape(claim.text)}", highlight=False)
        _tell_where_to_look(stack, prefect, first, folder, keep=keep)
        if keep:
            with suppress(KeyboardInterrupt), Interruption():
                while True:
                    time.sleep(1)
            console.print("Stopping.")
    return second.exit_code == 0 and all(claim.holds for claim in claims)


@contextmanager
def _started_stack(folder: Path) -> Iterator[LocalStack]:
    with step("starting a local Supabase") as done:
        stack = LocalStack.start(folder)
        done(f"local Supabase at {stack.url} (Postgres, PostgREST, Storage, Auth)")
    with stack:
        with step("migrating") as done:
            names = migrations.apply(stack.database_url)
            asyncio.run(filling.allow_uploads(stack.database_url))
            done(f"{len(names)} migrations applied")
        yield stack


def _backfill(what: str) -> Ended:
    with step() as done:
        ended = run_backfill({"bucket": filling.BUCKET})
        if ended.exit_code == INTERRUPTED:
            raise KeyboardInterrupt
        done(f"{what}: [bold]{escape(ended.message)}[/]", held=ended.exit_code == 0)
    return ended


def _show(stack: LocalStack, run_id: str) -> list[audit.Claim]:
    """Print what the first run found; return the claims about it."""
    console.print()
    console.print(rows_table(asyncio.run(audit.query(stack, audit.SHOWN))))
    console.print()
    snapshot(run_id)
    console.print()
    (counts,) = asyncio.run(audit.query(stack, audit.COUNTS))
    return audit.claims_of_first_run(stack, run_id, counts)


def _tell_where_to_look(
    stack: LocalStack, prefect: PrefectServer, ended: Ended, folder: Path, *, keep: bool
) -> None:
    console.print()
    if not keep:
        console.print(
            "Everything stops now; the data is in "
            f"{folder}. [bold]make demo KEEP=1[/] keeps it running, so that you can see the run in "
            "the Prefect UI.",
            highlight=False,
        )
        return
    tell(
        {
            "the run": f"{prefect.url}/runs/flow-run/{ended.run_id}",
            "Prefect": prefect.url,
            "Prefect's password": prefect.auth_string,
            "Supabase": stack.url,
            "service key": stack.service_key,
            "anon key": stack.anon_key,
            "database": stack.database_url,
            **{user.email: user.password for user in stack.users},
        }
    )
    console.print()
    tell_how_to_sign_in_to_prefect(prefect.auth_string)
    console.print("Running until Ctrl-C.")
