"""What `media-enricher backfill` does beside the flow itself, which tests/flows runs for real."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

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
    asked: list[object] = []

    def interrupted(*_: object) -> None:
        asked.append(None)
        if len(asked) == 1:
            raise KeyboardInterrupt

    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True)
    assert child.stdout
    with child.stdout as said:
        assert said.readline() == "ready\n"
        monkeypatch.setattr(backfill, "_show", interrupted)
        backfill._watch(child, {"run_id": "any"})
    assert child.returncode == 130
