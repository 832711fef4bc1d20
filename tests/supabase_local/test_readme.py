"""What supabase_local/README.md tells to type works, with nothing of Media Enricher imported."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from process_control import processes
from supabase_local.ports import free_port
from tests.waiting import wait_until_gone

pytestmark = pytest.mark.usefixtures("needs_stack")

README = Path(__file__).parents[2] / "supabase_local" / "README.md"
TEXT = README.read_text(encoding="utf-8")
OURS = """
import sys
print([name for name in sys.modules if name.split(".")[0] in {"media_enricher", "flows", "tasks"}])
"""


def test_the_example_starts_a_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    done = processes.run([sys.executable, "-c", example + OURS])
    assert done.returncode == 0, done.stderr
    url_and_key, environment, ours = done.stdout.splitlines()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+ sb_secret_\S+", url_and_key)
    assert "'SUPABASE_URL': " in environment
    assert ours == "[]"


def test_the_command_starts_a_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (command,) = re.findall(r"`python (-m supabase_local.*?)`", TEXT)
    port = str(free_port())
    monkeypatch.chdir(tmp_path)
    program = processes.spawn(
        [sys.executable, *command.replace("54321", port).split()], stdout=subprocess.PIPE
    )
    assert program.stdout
    with program, program.stdout as printed:
        running = json.loads(printed.readline())["running"]
        assert running["url"] == f"http://127.0.0.1:{port}"
        assert httpx.get(f"{running['url']}/storage/v1/status").is_success
        below = psutil.Process(program.pid).children(recursive=True)
        program.terminate()
        assert program.wait() == 0
        wait_until_gone(below)
