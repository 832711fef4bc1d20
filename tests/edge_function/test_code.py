"""The function's TypeScript: its types, its lints and its form, as Deno has them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from media_enricher.project_files import EDGE_FUNCTION
from supabase_local.edge_function import find_deno


@pytest.mark.parametrize("command", [("check", "index.ts"), ("lint",), ("fmt", "--check")])
def test_deno_finds_nothing(deno_cache: Path, command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [find_deno(), *command],
        cwd=EDGE_FUNCTION,
        env={**os.environ, "DENO_DIR": str(deno_cache), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_imports_nothing_but_its_own_modules() -> None:
    for file in EDGE_FUNCTION.glob("*.ts"):
        for line in file.read_text(encoding="utf-8").splitlines():
            if " from " in line and line.startswith(("import", "export")):
                assert 'from "./' in line, f"{file.name}: {line}"
