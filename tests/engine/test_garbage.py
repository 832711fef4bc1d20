"""A process that ends does not look for garbage first: all its memory goes with it."""

from __future__ import annotations

import sys

import pytest

from process_control import processes

pytestmark = pytest.mark.usefixtures("needs_processes")

PROGRAM = """
import atexit
import gc

atexit.register(lambda: print("at the end:", gc.get_freeze_count() > 0))

from media_enricher.engine.garbage import collect_as_usual, collect_seldom

collect_seldom()
collect_as_usual()
print("after a run:", gc.get_freeze_count() > 0)
"""


def test_what_there_is_at_the_end_is_left_out() -> None:
    done = processes.run([sys.executable, "-c", PROGRAM])

    assert done.stdout.splitlines() == ["after a run: False", "at the end: True"]
