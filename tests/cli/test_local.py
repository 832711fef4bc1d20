"""`media-enricher local …`, as a user types it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from tests.waiting import PATIENCE_SECONDS, wait_until_gone

pytestmark = pytest.mark.usefixtures("needs_stack")

COMMAND = [sys.executable, "-c", "from media_enricher.cli import app; app()", "local"]


def local(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def test_a_detached_stack_is_found_described_and_stopped(tmp_path: Path) -> None:
    folder = ("--folder", str(tmp_path / "stack"))
    up = local("up", "--detach", *folder)
    try:
        assert up.returncode == 0, up.stderr
        assert "demos, development and tests only" in up.stderr.replace("\n", " ")
        environment = dict(
            line.split("=", 1) for line in local("env", "--dotenv", *folder).stdout.splitlines()
        )
        headers = {"apikey": environment["SUPABASE_SECRET_KEY"]}
        answer = httpx.get(f"{environment['SUPABASE_URL']}/rest/v1/", headers=headers)
        assert answer.status_code == 200
        assert f"export SUPABASE_URL={environment['SUPABASE_URL']}" in local("env", *folder).stdout
        assert "ada@example.com" in local("status", *folder).stdout
        second = local("up", *folder)
        assert (second.returncode, "running in" in second.stderr) == (1, True)
    finally:
        down = local("down", *folder)
    assert "Stopped" in down.stdout
    assert local("status", *folder).returncode == 1
    assert "No stack is running" in local("down", *folder).stdout


def test_ctrl_c_stops_a_stack_in_the_foreground(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "up", "--folder", str(tmp_path / "stack")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout
    assert any(line.startswith("data and logs") for line in process.stdout)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) > 2

    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=PATIENCE_SECONDS) == 0
    process.stdout.close()
    wait_until_gone(children)
