"""The gateway is small: it loads nothing that only enriching needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.usefixtures("needs_processes")


@pytest.mark.parametrize(
    "program",
    [
        "import media_enricher.gateway.app",
        # By which it is started.
        "from media_enricher.cli import app; app(['serve', '--help'], standalone_mode=False)",
    ],
)
def test_it_loads_neither_pillow_nor_numpy_nor_pyarrow(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {program}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"PIL", "numpy", "pyarrow"}.isdisjoint(done.stdout.split())
