"""The gateway is small: it loads nothing that only enriching needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.usefixtures("needs_processes")


def test_it_loads_neither_pillow_nor_numpy_nor_pyarrow() -> None:
    program = "import sys, media_enricher.gateway.app; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert {"PIL", "numpy", "pyarrow"}.isdisjoint(done.stdout.split())
