"""No child outlives its parent, whichever thread starts it and however the parent ends."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from process_control import processes
from tests.waiting import living, wait_until_gone

pytestmark = pytest.mark.usefixtures("needs_processes")

ROOT = Path(__file__).parents[2]

# A parent whose child is started by a thread that ends, and has a child of its own.
PARENT = """
import sys, threading, time
from process_control import processes

CHILD = "from process_control import processes; import sys, time; " \
    "print(processes.spawn(['sleep', '60']).pid, flush=True); time.sleep(60)"

def start():
    global child
    child = processes.spawn([sys.executable, "-c", CHILD], stdout=-1)

thread = threading.Thread(target=start)
thread.start()
thread.join()
print(child.pid, child.stdout.readline().decode(), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_children_and_their_children_end_with_their_parent(how: signal.Signals) -> None:
    parent = processes.spawn([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert parent.stdout
    with parent, parent.stdout as said:
        below = [psutil.Process(int(pid)) for pid in said.readline().split()]
        assert len(below) == 2
        assert len(living(below)) == 2, "the end of the thread was taken for the parent's"
        parent.send_signal(how)
        wait_until_gone(below)


def test_a_child_can_be_ended_where_its_parent_ignores_that() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        child = processes.spawn(["sleep", "600"])
    finally:
        signal.signal(signal.SIGTERM, before)
    child.terminate()
    wait_until_gone([psutil.Process(child.pid)])
    assert child.wait() == -signal.SIGTERM


LATE = """
import os, sys
from process_control.parent_death import preexec

follow = preexec(9)
parent = os.getpid()
reading, writing = os.pipe()
if os.fork() == 0:
    while os.getppid() == parent:
        pass
    os.close(reading)
    follow()
    os.write(writing, b"it lives")
    os._exit(0)
if os.fork() == 0:
    os.close(writing)
    sys.stdout.write(os.read(reading, 10).decode())
    sys.stdout.flush()
os._exit(0)
"""


def test_a_parent_that_died_before_its_child_could_ask_is_noticed() -> None:
    assert processes.run([sys.executable, "-c", LATE]).stdout == ""


def test_what_is_run_tells_its_exit_code_and_what_it_said() -> None:
    done = processes.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")


def test_many_threads_may_start_children() -> None:
    codes: list[int] = []
    threads = [
        threading.Thread(target=lambda: codes.append(processes.run(["true"]).returncode))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == 20 * [0]


STARTED_OTHERWISE = {
    "process_control/processes.py": "the one way",
    "media_enricher/engine/worker_process.py": "an engine worker sees to it itself",
    "media_enricher/setup/deployments.py": "by asyncio, with `parent_death`",
}


def test_nothing_else_starts_a_process() -> None:
    names = {"Popen", "run", "call", "check_call", "check_output"}
    starts = {"create_subprocess_exec", "create_subprocess_shell"}
    found = set()
    for part in ("media_enricher", "flows", "tasks", "supabase_local", "process_control"):
        for file in (ROOT / part).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                    continue
                owner = node.func.value
                is_subprocess = isinstance(owner, ast.Name) and owner.id == "subprocess"
                if (is_subprocess and node.func.attr in names) or node.func.attr in starts:
                    found.add(str(file.relative_to(ROOT)))
    assert found == set(STARTED_OTHERWISE)
