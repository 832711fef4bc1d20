"""The peers' virtual environment: apart from ours, for their dependencies contradict it."""

from __future__ import annotations

import shutil
import subprocess
import venv
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")


class InstallError(Exception):
    """The peers could not be installed; pip's output is the message."""


def prepare(folder: Path) -> Path:
    """Install the pinned peers into a folder, unless it has them.

    Returns:
        The Python in which they can be imported.

    Raises:
        InstallError: pip could not.
    """
    python, stamp = folder / "bin" / "python", folder / REQUIREMENTS.name
    wanted = REQUIREMENTS.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    installed = subprocess.run(
        [*pip, "--no-deps", "--require-hashes", "--requirement", str(REQUIREMENTS)],
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode:
        raise InstallError(f"img2dataset and Daft cannot be installed: {installed.stderr[-2000:]}")
    stamp.write_text(wanted)  # at the end: half an installation is made anew
    return python
