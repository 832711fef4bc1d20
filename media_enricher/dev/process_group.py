"""A program that ends with all that it started: `python -m media_enricher.dev.process_group …`.

A Prefect worker that is told to stop, or is killed, ends before its runs can report their end. This
process leads the group of both. Told to stop (SIGTERM, which it also gets when its own parent
goes), it interrupts the runs, so that they end as cancelled, then the worker, and kills the rest.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

import psutil

from process_control import processes
from process_control.signals import Interruption

CHILDREN_SECONDS = 8.0
PROGRAM_SECONDS = 3.0
STOP_SECONDS = CHILDREN_SECONDS + PROGRAM_SECONDS
"""After so long, all of the group has ended."""


def command(*program: str | Path) -> list[str | Path]:
    """The command line that runs a program in a group of its own; start it in its own session."""
    return [sys.executable, "-m", __name__, *program]


def main(program: list[str]) -> None:
    """Run a program until it ends or this process is told to stop; then end the whole group."""
    signal.signal(signal.SIGINT, _ignore)  # a function, because the program would inherit SIG_IGN
    child: subprocess.Popen[bytes] | None = None
    try:
        with Interruption((signal.SIGTERM,)):
            if os.getpgrp() != os.getpid():
                os.setpgrp()
            child = processes.spawn(program)
            child.wait()
    except KeyboardInterrupt:
        if child is not None:
            _interrupt(child)
    os.killpg(0, signal.SIGKILL)


def _interrupt(program: subprocess.Popen[bytes]) -> None:
    """Interrupt what the program started, and then the program; give both time to end."""
    with contextlib.suppress(psutil.NoSuchProcess, subprocess.TimeoutExpired):
        children = psutil.Process(program.pid).children()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.send_signal(signal.SIGINT)
        psutil.wait_procs(children, timeout=CHILDREN_SECONDS)
        program.send_signal(signal.SIGINT)
        program.wait(PROGRAM_SECONDS)


def _ignore(_signal_number: int, _frame: FrameType | None) -> None: ...


if __name__ == "__main__":
    main(sys.argv[1:])
