"""Output of all commands: results to stdout, everything else to stderr, and one way to fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

console = Console()
"""Results: what a user may pipe into a file or another program."""
err_console = Console(stderr=True)
"""Progress, warnings and errors."""

JOB_FAILED = 1
"""Exit code: the command was valid, but did not succeed."""
BAD_INPUT = 2
"""Exit code: an argument or a setting is wrong; nothing was done."""


def fail(message: str, code: int = BAD_INPUT) -> NoReturn:
    """End the command: print the message in red on stderr and exit with the code.

    The message is printed literally (`[` starts no markup), because it may quote a path.

    Raises:
        typer.Exit: always.
    """
    err_console.print(Text(message, style="red"), soft_wrap=True)
    raise typer.Exit(code)


@contextmanager
def step(doing: str | None = None) -> Iterator[Callable[..., None]]:
    """Time a step, with a spinner if `doing` says what is being done.

    Yields:
        A function `done(text, *, held=True)`, which prints the result as one line of Rich markup.
    """
    started = time.monotonic()

    def done(text: str, *, held: bool = True) -> None:
        took = duration(time.monotonic() - started)
        console.print(f"{mark(held)} {text} [dim]({took})[/]", highlight=False, soft_wrap=True)

    with console.status(doing) if doing else nullcontext():
        yield done


def mark(held: bool) -> str:
    """A tick or a cross, in Rich's markup."""
    return "[green]✓[/]" if held else "[red]✗[/]"


def tell(values: Mapping[str, str]) -> None:
    """Print names and values, one per line without wrapping, so that they can be copied."""
    for what, value in values.items():
        console.print(f"  {what:22} [bold]{escape(value)}[/]", highlight=False, soft_wrap=True)


def tell_how_to_sign_in_to_prefect(auth_string: str) -> None:
    """Say what to enter in Prefect's form: its one field is labelled only "admin:pass"."""
    console.print(
        f"To sign in to Prefect, open its address and enter [bold]{escape(auth_string)}[/]. "
        "Links to runs work after that.",
        highlight=False,
        soft_wrap=True,
    )


_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def duration(seconds: float) -> str:
    """A length of time in its two largest units.

    >>> [duration(0.42), duration(41.2), duration(200), duration(7_200), duration(180_000)]
    ['0.4 s', '41 s', '3 min 20 s', '2 h', '2 d 2 h']
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    left = round(seconds)
    counts = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        counts.append((count, unit))
    largest = next(place for place, (count, _) in enumerate(counts) if count)
    return " ".join(f"{count} {unit}" for count, unit in counts[largest : largest + 2] if count)


def rate(per_second: float) -> str:
    """A number per second, with one decimal below 10.

    >>> [rate(0.25), rate(9.4), rate(97.3), rate(1_385.2)]
    ['0.2', '9.4', '97', '1,385']
    """
    return f"{per_second:,.1f}" if per_second < 10 else f"{per_second:,.0f}"
