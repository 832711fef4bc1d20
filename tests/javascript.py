"""What the tests need to run JavaScript of this repository with Node.js."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path


@cache
def node_environment() -> dict[str, str]:
    """This process's; and with it supabase-js finds the WebSocket that Node.js 20 hides."""
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    is_old = int(version.stdout.removeprefix("v").partition(".")[0]) < 22
    return dict(os.environ) | ({"NODE_OPTIONS": "--experimental-websocket"} if is_old else {})


def install(folder: Path) -> None:
    """Install what a folder's lock lists, unless `make test` has."""
    lock = folder / "package-lock.json"
    installed = folder / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        command = ["npm", "ci", "--loglevel=error", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=folder, check=True)


def install_deno() -> None:
    """Install Deno, which runs Edge Functions."""
    install(Path(__file__).parents[1] / "supabase_local" / "deno")
