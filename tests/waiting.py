"""Waiting for what must come true, and the one word on how long a test is patient."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import httpx
import psutil

Found = TypeVar("Found")

PATIENCE_SECONDS = 120.0
"""Nothing takes so long; on a machine that has other work, all takes several times its time."""

PROMPT_SECONDS = 20.0
"""What is to happen "within seconds" has happened by then, on such a machine, too."""

_LONGEST_PAUSE_SECONDS = 1.0
"""Between two looks, however long a look takes."""


def wait_for(
    look: Callable[[], Found],
    otherwise: str | Callable[[], str] = "what was waited for did not happen",
    *,
    seconds: float = PATIENCE_SECONDS,
    every: float = 0.05,
) -> Found:
    """Look until something is found (a true value), and return it.

    Between two looks it waits four times as long as a look took, at least `every` and at most 1 s:
    a fifth of the time goes into looks, and the rest is for what is waited for.

    Args:
        look: what is asked, every so many seconds.
        otherwise: what is wrong if it is not found; a function where only then it is known.
        seconds: how long to look.
        every: the fewest seconds between two looks.

    Raises:
        AssertionError: that what was waited for is not so, in time.
    """
    looked = time.monotonic()
    deadline = looked + seconds
    while not (found := look()):
        now = time.monotonic()
        if now > deadline:
            said = otherwise if isinstance(otherwise, str) else otherwise()
            raise AssertionError(f"after {seconds:g} s: {said}")
        time.sleep(min(max(every, 4 * (now - looked)), _LONGEST_PAUSE_SECONDS))
        looked = time.monotonic()
    return found


def wait_until_it_answers(url: str, log: Path | None = None) -> None:
    """Wait until a server answers that all is well.

    Args:
        url: of what is asked for.
        log: of the server, told if it does not answer.
    """

    def it_answers() -> bool:
        try:
            return httpx.get(url, timeout=PROMPT_SECONDS).is_success
        except httpx.TransportError:
            return False

    def silence() -> str:
        return f"nothing answers at {url}" + (f":\n{log.read_text()}" if log else "")

    wait_for(it_answers, silence, every=0.2)


def wait_until_gone(processes: Iterable[psutil.Process]) -> None:
    """Wait for the end of processes, which must come by itself and promptly."""
    watched = list(processes)
    wait_for(
        lambda: not living(watched),
        lambda: f"still running: {living(watched)}",
        seconds=PROMPT_SECONDS,
    )


def marked(mark: str) -> list[psutil.Process]:
    """The processes that have a value in their environment, whoever started them."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if mark in process.environ().values() and process.pid != os.getpid():
                found.append(process)
    return living(found)


def command_of(process: psutil.Process) -> str:
    """What a process runs, with its arguments; empty if it has ended since it was found."""
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def living(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended. A zombie has: nobody has asked yet what became of it."""
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE and process.is_running():
                found.append(process)
    return found
