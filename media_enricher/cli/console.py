"""How every command speaks: results to stdout, everything else to stderr, and one way to fail."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console
from rich.text import Text

console = Console()
"""Results: what a user may pipe into a file or another program."""
err_console = Console(stderr=True)
"""Progress, warnings and errors."""

JOB_FAILED = 1
"""Exit code: what was asked for was understood, and did not succeed."""
BAD_INPUT = 2
"""Exit code: an argument or a setting is wrong; nothing was done."""


def fail(message: str, code: int = BAD_INPUT) -> NoReturn:
    """End the command: the message, one sentence, in red on stderr, and the exit code.

    The message is taken literally (`[` starts no markup), for it may quote a path or a server.

    Raises:
        typer.Exit: always.
    """
    err_console.print(Text(message, style="red"), soft_wrap=True)
    raise typer.Exit(code)
