"""What is imported is not looked through for garbage."""

from __future__ import annotations

import sys

import pytest

from process_control import processes

pytestmark = pytest.mark.usefixtures("needs_processes")

PROGRAM = """
import gc
from process_control.importing import importing

try:
    with importing():
        print(gc.isenabled(), gc.get_freeze_count())
        import what_is_not_there
except ImportError:
    print(gc.isenabled(), gc.get_freeze_count() > 0)
"""


def test_no_garbage_is_looked_for_meanwhile_nor_in_what_is_there_then() -> None:
    done = processes.run([sys.executable, "-c", PROGRAM])

    assert done.stdout.splitlines() == ["False 0", "True True"]
