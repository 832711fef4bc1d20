"""`media-enricher backfill BUCKET`: run the flow here, with a progress bar.

The flow runs in a child process (`python -m flows`), because this package must not import flows.
The progress bar reads the run's row, like every other client.
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
        run_id: the id of the flow run; None if it never started running, or was a dry run.
        exit_code: 0 completed, 130 cancelled, 1 anything else.
        message: the message of the final Prefect state, which says what was done.
    """

    run_id: str | None
    exit_code: int
    message: str


def backfill(
    bucket: Annotated[str, typer.Argument(help="The Storage bucket to process.")],
    prefix: Annotated[
        str, typer.Option(help="Only objects whose path starts with this text.")
    ] = "",
    limit: Annotated[
        int | None, typer.Option(min=1, help="The maximum number of objects in this run.")
    ] = None,
    mode: Annotated[Mode, typer.Option(help="Which objects to process.")] = Mode.MISSING,
    depth: Annotated[Depth, typer.Option(help="How much of each object to read.")] = Depth.FULL,
    max_bytes: Annotated[
        int | None,
        typer.Option(min=1, help="The maximum number of bytes to read from Storage in this run."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Say how many objects are pending and what reading them would cost. Change "
            "nothing.",
        ),
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the log of the flow.")] = False,
) -> None:
    """Process the objects of a bucket, on this machine."""
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
            "max_bytes": max_bytes,
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

    The arguments are those of `run_flow`.
    """
    return run_flow("backfill", parameters, environment=environment, verbose=verbose)


def run_flow(
    name: str,
    parameters: Mapping[str, object],
    *,
    environment: Mapping[str, str] | None = None,
    verbose: bool = False,
) -> Ended:
    """Run a flow in a child process and show its progress until it has ended.

    Args:
        name: the flow's name in Prefect.
        parameters: the parameters of the flow.
        environment: environment variables of the child, added to those of this process.
        verbose: print the whole log of the flow, not only warnings.
    """
    with Forwarding() as signals:  # Ctrl-C asks the run to stop; a second one asks again
        child = _start(name, parameters, environment or {}, verbose=verbose)
        reported: dict[str, str] = {}
        signals.pass_on = lambda: None if "state" in reported else child.send_signal(signal.SIGINT)
        readers = [
            threading.Thread(target=_read_reports, args=(child.stdout, reported), daemon=True),
            threading.Thread(target=_print_log, args=(child.stderr,), daemon=True),
        ]
        for reader in readers:
            reader.start()
        try:
            _watch(child, reported, lambda: signals.is_asked)
        finally:
            with suppress(ProcessLookupError):  # the processes it started, such as a Prefect server
                os.killpg(child.pid, signal.SIGKILL)
        for reader in readers:
            reader.join()
    return Ended(
        run_id=reported.get("run_id"),
        exit_code=EXIT_CODES.get(reported.get("state", ""), JOB_FAILED),
        message=reported.get("message")
        or f"The flow exited without reporting a result (exit code {child.returncode}).",
    )


def _start(
    name: str, parameters: Mapping[str, object], environment: Mapping[str, str], *, verbose: bool
) -> subprocess.Popen[bytes]:
    return processes.spawn(
        [sys.executable, "-m", "flows", name, json.dumps(parameters)],
        on_parent_death=signal.SIGINT,  # cancels the run in order
        env={
            "PREFECT_LOGGING_LEVEL": "INFO" if verbose else "WARNING",
            # Prefect's default of 20 s is too short for a busy machine.
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        }
        | dict(os.environ)
        | dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches only this process, which asks the run to stop
    )


def _watch(
    child: subprocess.Popen[bytes], reported: Mapping[str, str], is_stopping: Callable[[], bool]
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
            if run_id := reported.get("run_id"):
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
            counts=f"{run.succeeded:,} enriched, {run.failed:,} failed, "
            f"{run.skipped:,} unsupported",
        )


@lru_cache
def _runs() -> RunTable:
    return RunTable(connect(supabase_settings()))


def _read_reports(stdout: IO[bytes], reported: dict[str, str]) -> None:
    for line in stdout:
        reported.update(json.loads(line))


def _print_log(stderr: IO[bytes]) -> None:
    for line in stderr:
        err_console.print(line.decode(errors="replace").rstrip("\n"), markup=False, highlight=False)
