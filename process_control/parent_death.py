"""The kernel's death signal: a process is sent a signal when its parent ends (PR_SET_PDEATHSIG).

Linux only. To the kernel, the parent is the *thread* that started the process; `processes.spawn`
starts all children by one thread that lives as long as the process. Small, for processes that
import little.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from functools import lru_cache

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int, death_signal: signal.Signals = signal.SIGKILL) -> None:
    """Have this process sent a signal when its parent ends, however it ends.

    Elsewhere than on Linux it only ends this process if the parent is gone already.

    Args:
        parent: the parent's process id, as the parent itself knows it.
        death_signal: what this process is sent.
    """
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:  # it ended before the call above
        os._exit(1)


def preexec(death_signal: signal.Signals = signal.SIGKILL) -> Callable[[], None] | None:
    """A `preexec_fn` that makes a child of this process die with it; None elsewhere than on Linux.

    The thread that starts the child has to live as long as this process.
    """
    if sys.platform != "linux":
        return None
    _libc()  # loaded here: a child after fork must not
    parent = os.getpid()
    return lambda: die_with_parent(parent, death_signal)


@lru_cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
