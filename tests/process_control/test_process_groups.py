"""A child and all that it started end together, and nothing of them is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from process_control.process_groups import adopt_orphans, kill_group, reap_group
from tests.waiting import wait_for, wait_until_gone

pytestmark = [
    pytest.mark.usefixtures("needs_processes"),
    pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux only"),
]

# A child with a child and a grandchild, which all wait until they are killed, or for a minute.
FAMILY = """
import os, signal

signal.alarm(60)
reading, writing = os.pipe()
if os.fork() == 0:
    signal.alarm(60)  # a fork has none
    if os.fork() == 0:
        signal.alarm(60)
        os.write(writing, b"here")
if os.getpid() == os.getpgid(0):
    os.read(reading, 4)
    print("complete", flush=True)
    {leader}
signal.pause()
"""


def started(leader: str) -> subprocess.Popen[bytes]:
    adopt_orphans()
    program = [sys.executable, "-c", FAMILY.format(leader=leader)]
    child = subprocess.Popen(program, stdout=subprocess.PIPE, process_group=0)
    assert child.stdout
    with child.stdout as said:
        assert said.readline() == b"complete\n"
    return child


def left_of(group: int) -> bool:
    """Whether a member of a process group is left. A zombie is."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_killing_ends_all_and_leaves_them_to_reaping() -> None:
    child = started("pass")
    family = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
    assert len(family) == 3
    kill_group(child)
    wait_until_gone(family)
    assert child.returncode is None
    kill_group(child)  # zombies
    assert reap_group(child) == -signal.SIGKILL
    assert not left_of(child.pid)


def test_none_of_a_group_is_left() -> None:
    child = started("pass")
    assert reap_group(child) == -signal.SIGKILL
    assert not left_of(child.pid)


def test_none_is_left_of_a_group_whose_leader_ended_by_itself() -> None:
    child = started("os._exit(3)")
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert left_of(child.pid)
    assert reap_group(child) == 3
    assert not left_of(child.pid)


def test_a_number_that_may_be_somebody_elses_is_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    child = started("pass")
    reap_group(child)
    killed: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda group, _signal: killed.append(group))
    kill_group(child)
    assert reap_group(child) == -signal.SIGKILL
    assert not killed


def test_children_of_others_are_left_to_them() -> None:
    other = subprocess.Popen(["true"])
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    reap_group(started("pass"))
    wait_for(lambda: other.poll() is not None)
    assert other.returncode == 0
