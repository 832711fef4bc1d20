"""The services of deployments/compose.yaml, brought up in order by podman-compose.

As Docker's own compose would: a service is started when those that it needs are healthy, or have
ended well. Podman looks at healthiness by itself only under systemd, so here we ask it to.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.docker.podman import ROOT, Podman
from tests.waiting import wait_for

_PROJECT = "media-enricher"


class Composed:
    """The project that the file describes, in an engine; nothing of it is started yet.

    Args:
        engine: what runs it.
        folder: where a copy of the file is put, beside its `.env`; empty.
        env: the `.env`.
    """

    def __init__(self, engine: Podman, folder: Path, env: Mapping[str, str]) -> None:
        self._engine = engine
        self._folder = folder
        text = (ROOT / "deployments" / "compose.yaml").read_text()
        (folder / "compose.yaml").write_text(text)
        (folder / ".env").write_text("".join(f"{name}={env[name]}\n" for name in env))

    def start(self, service: str) -> None:
        """Start a service, and wait until its own health check passes."""
        self._compose("up", "--detach", "--no-deps", "--no-build", service)
        wait_for(
            lambda: self._engine.is_healthy(f"{_PROJECT}_{service}_1"),
            lambda: f"{service} does not start:\n{self.logs(service)}",
            every=0.2,
        )

    def run(self, service: str) -> str:
        """Run a service that ends by itself; what it said."""
        return self._compose("run", "--rm", "--no-deps", "-T", service)

    def logs(self, service: str) -> str:
        """What a service has said so far."""
        return self._compose("logs", service)

    def stop(self) -> None:
        """Stop and remove all of it, its data too."""
        self._compose("down", "--volumes", "--timeout", "5")

    def _compose(self, *arguments: str) -> str:
        done = subprocess.run(
            [
                *(Path(sys.executable).with_name("podman-compose"), "--in-pod", "false"),
                *("--podman-args", " ".join(self._engine.options), "-p", _PROJECT, *arguments),
            ],
            cwd=self._folder,
            env=os.environ | self._engine.configuration,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout[-4_000:]}"
        return done.stdout
