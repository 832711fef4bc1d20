"""`media-enricher backfill BUCKET`: run the flow here, with a progress bar.

The flow runs in a child process (`python -m flows`), for this package knows nothing of flows; the
bar reads the run's row, as every other client does.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import IO, Annotated

import msgspec
import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from media_enricher.cli.console import BAD_INPUT, JOB_FAILED, console, err_console, fail
from media_enricher.models import Depth, Mode
from media_enricher.settings import SettingsError, supabase_settings
from media_enricher.supabase.client import connect
from media_enricher.supabase.errors import SupabaseError
from media_enricher.supabase.runs import RunTable
from process_control import processes
from process_control.signals import Forwarding

POLL_SECONDS = 0.5
EXIT_CODES = {"COMPLETED": 0, "CANCELLED": 130}
"""By the run's final state."""


class Ended(msgspec.Struct, frozen=True):
    """How a run of the flow ended.

    Attributes:
        run_id: of the flow run; None if it never got as far as running, or was a dry run.
        exit_code: 0 completed, 130 cancelled, 1 anything else.
        message: that of the final Prefect state, which says what was done.
    """

    run_id: str | None
    exit_code: int
    message: str


def backfill(
    bucket: Annotated[str, typer.Argument(help="The Storage bucket.")],
    prefix: Annotated[str, typer.Option(help="Only objects whose path starts with this.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="The most objects to do.")] = None,
    mode: Annotated[Mode, typer.Option(help="Which objects to work on.")] = Mode.MISSING,
    depth: Annotated[Depth, typer.Option(help="How much of each to read.")] = Depth.FULL,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would be done, and do nothing.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the flow's own log.")] = False,
) -> None:
    """Enrich the objects of a bucket, here and now."""
    try:
        supabase_settings()
    except SettingsError as error:
        fail(str(error), BAD_INPUT)
    ended = run_backfill(
        {
            "bucket": bucket,
            "prefix": prefix,
            "limit": limit,
            "mode": mode,
            "depth": depth,
            "dry_run": dry_run,
        },
        verbose=verbose,
    )
    console.print(ended.message, style="green" if ended.exit_code == 0 else "red", markup=False)
    raise typer.Exit(ended.exit_code)


def run_backfill(
    parameters: Mapping[str, object],
    *,
    environment: Mapping[str, str] | None = None,
    verbose: bool = False,
) -> Ended:
    """Run the backfill flow in a child process and show its progress until it has ended.

    Args:
        parameters: of the flow, as in the Prefect UI's form.
        environment: of the child, on top of this process's.
        verbose: pass the flow's log on, instead of its warnings alone.
    """
    with Forwarding() as signals:  # Ctrl-C asks the run to stop, and asks again
        child = _start(parameters, environment or {}, verbose=verbose)
        said: dict[str, str] = {}
        signals.pass_on = lambda: None if "state" in said else child.send_signal(signal.SIGINT)
        readers = [
            threading.Thread(target=_take_note, args=(child.stdout, said), daemon=True),
            threading.Thread(target=_pass_on, args=(child.stderr,), daemon=True),
        ]
        for reader in readers:
            reader.start()
        try:
            _watch(child, said, lambda: signals.is_asked)
        finally:
            with suppress(ProcessLookupError):  # what it has started, a Prefect server for one
                os.killpg(child.pid, signal.SIGKILL)
        for reader in readers:
            reader.join()
    return Ended(
        run_id=said.get("run_id"),
        exit_code=EXIT_CODES.get(said.get("state", ""), JOB_FAILED),
        message=said.get("message") or f"The flow ended without a word (exit {child.returncode}).",
    )


def _start(
    parameters: Mapping[str, object], environment: Mapping[str, str], *, verbose: bool
) -> subprocess.Popen[bytes]:
    return processes.spawn(
        [sys.executable, "-m", "flows", "backfill", json.dumps(parameters)],
        on_parent_death=signal.SIGINT,  # the run is cancelled, and says so
        env={
            "PREFECT_LOGGING_LEVEL": "INFO" if verbose else "WARNING",
            # Prefect's own word is 20 s, too few for a busy machine.
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        }
        | dict(os.environ)
        | dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C comes to us alone, and we ask the run to stop
    )


def _watch(
    child: subprocess.Popen[bytes], said: Mapping[str, str], is_stopping: Callable[[], bool]
) -> None:
    """Show the run's progress until the child has ended."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeRemainingColumn(),
        console=err_console,
        transient=True,
        disable=not err_console.is_terminal,
    ) as bar:
        shown = bar.add_task("starting", total=None, counts="")
        while child.poll() is None:
            if run_id := said.get("run_id"):
                _show(bar, shown, run_id)
            if is_stopping():
                bar.update(shown, description="stopping")
            with suppress(subprocess.TimeoutExpired):
                child.wait(timeout=POLL_SECONDS)


def _show(bar: Progress, shown: TaskID, run_id: str) -> None:
    try:
        run = _runs().get(run_id)
    except SupabaseError as error:
        bar.update(shown, counts=f"progress unknown: {error}")
        return
    if run is not None:
        bar.update(
            shown,
            description="enriching",
            completed=run.processed_files,
            total=run.total_files or None,
            counts=f"{run.succeeded:,} enriched, {run.failed:,} failed, {run.skipped:,} skipped",
        )


@lru_cache
def _runs() -> RunTable:
    return RunTable(connect(supabase_settings()))


def _take_note(stdout: IO[bytes], said: dict[str, str]) -> None:
    for line in stdout:
        said.update(json.loads(line))


def _pass_on(stderr: IO[bytes]) -> None:
    for line in stderr:
        err_console.print(line.decode(errors="replace").rstrip("\n"), markup=False, highlight=False)
