"""No signal is lost, wherever it finds Python."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from process_control import processes
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.usefixtures("needs_processes")

ROOT = Path(__file__).parents[2]

# It forks many children, some at a time, and sends each its signals at a random moment: that is
# cheaper than to start as many Pythons. A child is busy where Python ignores exceptions: around
# forks, in `__del__`, in callbacks of the garbage collector, under somebody's `except
# BaseException`. It exits with 0 if it was stopped and its end was not disturbed.
PROGRAM = """
import gc, json, logging, os, random, signal, sys, time

sys.path.insert(0, sys.argv[1])
from process_control.signals import Interruption

count, sent = int(sys.argv[2]), [getattr(signal, name) for name in sys.argv[3:]]
logging.basicConfig(stream=open(os.devnull, "w"))
spin = lambda: [logging.error("%s", each) for each in range(3)]

class Odd:
    def __del__(self):
        spin()

def busy():
    Odd()
    try:
        spin()
    except BaseException:
        pass
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    gc.collect(0)

def work():  # the only place where an interruption may be raised, as in a run
    while True:
        busy()

def child():
    ended = 1
    def inside(frame):
        while frame and frame.f_code is not work.__code__:
            frame = frame.f_back
        return frame is not None
    try:
        with Interruption((signal.SIGINT, signal.SIGTERM), when=inside if when else None):
            try:
                os.write(writing, b"r")  # here: a signal may come before it returns
                if when:
                    busy()  # the engine, before the run's own code
                work()
            finally:
                for _ in range(20):
                    spin()
                    time.sleep(0.001)
                ended = 0
    except KeyboardInterrupt:
        time.sleep(0.01)
        os._exit(ended)
    os._exit(2)

os.register_at_fork(before=spin, after_in_parent=spin)
gc.callbacks.append(lambda *_: spin())
sys.unraisablehook = lambda *_: None
codes = []
living = set()
for number in range(count):
    when = number % 2
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        child()
    os.read(reading, 1)
    os.close(reading)
    os.close(writing)
    living.add(pid)
    for each in sent:
        time.sleep(random.uniform(0, 0.02))
        os.kill(pid, each)
    while len(living) >= 16:
        ended, status = os.wait()
        if ended in living:
            living.remove(ended)
            codes.append(os.waitstatus_to_exitcode(status))
for pid in living:
    codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(json.dumps(codes))
"""


@pytest.mark.parametrize(
    "sent",
    [["SIGTERM"], ["SIGINT"], ["SIGINT", "SIGINT"], ["SIGINT", "SIGTERM"]],
    ids="-".join,
)
def test_each_ends_it_whatever_is_being_done(sent: list[str]) -> None:
    count = 200
    program = [sys.executable, "-c", PROGRAM, str(ROOT), str(count), *sent]
    done = processes.run(program, timeout=PATIENCE_SECONDS)
    assert Counter(json.loads(done.stdout)) == {0: count}, done.stderr
