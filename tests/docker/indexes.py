"""Where pip finds packages on this machine, as settings that hold in a container, too."""

from __future__ import annotations

import subprocess
import sys

_ELSEWHERE = ("index-url", "extra-index-url", "trusted-host", "timeout", "default-timeout")


def pip_settings() -> str:
    """A pip.conf with the indexes that pip uses here, whoever set them; files of this machine not.

    Of each setting the last that pip lists wins, as it does with pip.
    """
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    kept = {}
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        setting = name.rpartition(".")[2]
        urls = [url for url in value.strip("'\"").split() if not url.startswith("file:")]
        if setting in _ELSEWHERE and urls:
            kept[setting] = " ".join(urls)
    return "\n".join(["[global]", *(f"{name} = {value}" for name, value in kept.items())]) + "\n"
