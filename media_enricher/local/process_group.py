"""A program that ends with all that it started: `python -m media_enricher.local.process_group …`.

A Prefect worker that is told to stop waits for its runs, and one that is killed leaves them behind.
This process leads the group of both: told to stop (SIGTERM, also when its own parent goes), it
interrupts them all, so that runs end as cancelled, and kills what is left after a while.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

STOP_SECONDS = 8.0


class StopRequested(Exception):  # noqa: N818 - a wish, not an error
    """Somebody sent SIGTERM."""


def command(*program: str | Path) -> list[str | Path]:
    """The command line that runs a program in a group of its own; start it in its own session."""
    return [sys.executable, "-m", __name__, *program]


def main(program: list[str]) -> None:
    """Run a program until it ends or we are told to; then nothing of its group is left, nor we."""
    signal.signal(signal.SIGINT, _ignore)  # a function, for SIG_IGN would be the program's too
    signal.signal(signal.SIGTERM, _stop)
    if os.getpgrp() != os.getpid():
        os.setpgrp()
    with contextlib.suppress(StopRequested, subprocess.TimeoutExpired):
        child = subprocess.Popen(program)  # noqa: S603 - what we are asked to run
        try:
            child.wait()
        except StopRequested:
            os.killpg(0, signal.SIGINT)
            child.wait(STOP_SECONDS)
    os.killpg(0, signal.SIGKILL)


def _ignore(_signal_number: int, _frame: FrameType | None) -> None: ...


def _stop(_signal_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, _ignore)
    raise StopRequested


if __name__ == "__main__":
    main(sys.argv[1:])
