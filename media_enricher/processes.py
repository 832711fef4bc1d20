"""Worker processes that a library starts for us, and that must not outlive the run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

_WATCH_SECONDS = 0.5


def follow_parent() -> None:
    """End this process soon after its parent's end, and leave Ctrl-C to the parent.

    The initializer of a process pool. It watches the parent's id, for the kernel's own death signal
    (PR_SET_PDEATHSIG) takes the end of the *thread* that started this process for the parent's.
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
