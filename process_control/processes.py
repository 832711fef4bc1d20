"""Child processes that do not outlive this one, however it ends.

On Linux the kernel itself signals a child when its parent ends (see `parent_death`). It takes the
end of the *thread* that started the child for the parent's, so one thread that lives as long as the
process starts all of them. Elsewhere, a killed parent leaves them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

from process_control import parent_death

_WATCH_SECONDS = 0.5


def spawn(
    command: Sequence[str | Path],
    *,
    on_parent_death: signal.Signals = signal.SIGKILL,
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Start a child that is sent a signal when this process ends. Any thread may call it.

    SIGTERM ends the child even if this process ignores it; else the child would inherit that.

    Args:
        command: the program and its arguments.
        on_parent_death: the signal that the child gets, however this process ends.
        options: of `subprocess.Popen`.
    """
    arguments = [str(part) for part in command]
    follow = parent_death.preexec(on_parent_death)

    def prepare() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if follow is not None:
            follow()

    starting = _starter().submit(_popen, arguments, preexec_fn=prepare, **options)
    try:
        return starting.result()
    except BaseException:  # interrupted: the caller never gets the child, so it has to end
        starting.add_done_callback(lambda started: _dismiss(started, on_parent_death))
        raise


def run(
    command: Sequence[str | Path], *, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end. It is killed if this process, or this call, ends earlier.

    Args:
        command: the program and its arguments.
        timeout: in seconds; None waits for ever.

    Returns:
        Its exit code, and what it printed to standard output and standard error.

    Raises:
        subprocess.TimeoutExpired: it took longer than the timeout.
    """
    pipe = subprocess.PIPE
    with spawn(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe) as child:
        try:
            out, err = child.communicate(timeout=timeout)
        except BaseException:
            child.kill()
            raise
    return subprocess.CompletedProcess(
        child.args, child.returncode, out.decode(errors="replace"), err.decode(errors="replace")
    )


def follow_parent() -> None:
    """End this process soon after its parent's end, and leave Ctrl-C to the parent.

    To be the initializer of a process pool, whose processes a library starts from threads of its
    own. It watches the parent's id, because the kernel's death signal would take the end of such a
    thread for the parent's.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="follow-parent", daemon=True).start()


def kill_workers() -> None:
    """Kill the processes of all pools of this process at once."""
    for worker in multiprocessing.active_children():
        worker.kill()


def _popen(arguments: list[str], **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(arguments, **options)  # noqa: S603 - the caller's program


def _dismiss(started: Future[subprocess.Popen[bytes]], with_signal: signal.Signals) -> None:
    if started.exception() is None:
        started.result().send_signal(with_signal)


@lru_cache
def _starter() -> ThreadPoolExecutor:
    """The thread that starts all children."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="children")


os.register_at_fork(after_in_child=_starter.cache_clear)  # a fork has no threads
