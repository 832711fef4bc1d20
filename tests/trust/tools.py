"""The reference tools: run by name, and named with their Debian package where they are missing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

_PACKAGES = {
    "exiftool": "libimage-exiftool-perl",
    "ffmpeg": "ffmpeg",
    "ffprobe": "ffmpeg",
    "mediainfo": "mediainfo",
    "pdfinfo": "poppler-utils",
    "ps2pdf": "ghostscript",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
}


class ToolError(Exception):
    """A reference tool is missing or failed; the message says what to do."""


def need(*tools: str) -> None:
    """Raise a ToolError that names the packages of all tools that are missing."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        packages = " ".join(sorted({_PACKAGES[tool] for tool in missing}))
        raise ToolError(f"{', '.join(missing)} missing. Install with: apt-get install {packages}")


def output(
    command: Sequence[str | Path], *, may_fail: bool = False, cwd: Path | None = None
) -> str:
    """What a tool printed.

    Args:
        command: the tool and its arguments.
        cwd: the folder that it runs in.
        may_fail: take what it printed although it exited with an error, as for damaged files.

    Raises:
        ToolError: it exited with an error.
    """
    done = subprocess.run(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode and not may_fail:
        raise ToolError(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
    return done.stdout
