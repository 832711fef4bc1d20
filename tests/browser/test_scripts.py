"""The admin page's scripts agree with the types that they state."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("needs_node")

HERE = Path(__file__).parent


def test_the_scripts_type_check() -> None:
    checked = subprocess.run(
        ["node", HERE / "node_modules" / "typescript" / "bin" / "tsc", "--project", HERE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
