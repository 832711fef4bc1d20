"""What `media-enricher backfill` does beside the flow itself, which tests/flows runs for real."""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys

import pytest

from process_control import processes
from process_control.signals import Forwarding
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.usefixtures("needs_processes")

# By its full name, for the package has the command under the same.
backfill = importlib.import_module("media_enricher.cli.backfill")

CHILD = """
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
print("ready", flush=True)
time.sleep(60)
"""


def test_ctrl_c_reaches_the_run_while_its_progress_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = processes.spawn([sys.executable, "-c", CHILD], stdout=subprocess.PIPE)
    assert child.stdout

    def asked_for(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)
        child.wait(PATIENCE_SECONDS)  # as long as this takes, it is not waited for

    with child.stdout as said, Forwarding() as signals:
        assert said.readline() == b"ready\n"
        signals.pass_on = lambda: child.send_signal(signal.SIGINT)
        monkeypatch.setattr(backfill, "_show", asked_for)
        backfill._watch(child, {"run_id": "any"}, lambda: signals.is_asked)
    assert child.returncode == 130
