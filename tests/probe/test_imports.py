"""The probe runs in small processes, of which there are many."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.usefixtures("needs_processes")

HEAVY = {"prefect", "pandas", "pyarrow", "supabase", "aiohttp", "pydantic", "fastapi", "scipy"}


def test_the_probe_brings_no_heavy_package_along() -> None:
    program = (
        "import media_enricher.probe, sys; print(*{name.split('.')[0] for name in sys.modules})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert HEAVY & set(ran.stdout.split()) == set()
