"""A child process and all that it starts, as one group: killed and reaped together.

A process that is killed cannot reap its own children. They become orphans, and the kernel gives
them to process 1. Where that is an init, it reaps them. In a container it is whatever program the
container runs: there an orphan stays a zombie, in the process group that it was in. A supervisor
that waits until the group of a run is empty waits in vain.

So a child that has children leads a group of its own, and this process adopts its orphans. A
signal to the group of this process reaches this process alone, which then ends the child's group.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from contextlib import suppress

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Have the orphans among this process's descendants become its children, from here on.

    Linux only; elsewhere, process 1 is an init. Orphans that are not reaped here become process 1's
    when this process ends.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_group(leader: subprocess.Popen[bytes]) -> None:
    """Kill a child and all of its group. Does not wait, and does nothing once it was reaped.

    Args:
        leader: a child that was started with `process_group=0`.
    """
    # Until the leader is reaped, nobody else can have its number, even if it has ended.
    if leader.returncode is None:
        # macOS refuses it (EPERM) for a group of zombies.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader.pid, signal.SIGKILL)


def reap_group(leader: subprocess.Popen[bytes]) -> int:
    """Kill a child and all of its group, and wait until none of them is left, not even a zombie.

    `adopt_orphans` has to be called before the child is started.

    Args:
        leader: a child that was started with `process_group=0`.

    Returns:
        The child's exit code, as `subprocess.Popen` has it: negative for a signal.
    """
    kill_group(leader)
    code = leader.wait()
    with suppress(ChildProcessError):  # none is left
        while True:
            os.waitpid(-leader.pid, 0)
    return code
