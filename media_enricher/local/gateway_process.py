"""The gateway as a program to start here: `media-enricher serve`."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from media_enricher.local import children
from media_enricher.local.errors import LocalStackError
from media_enricher.local.ports import HOST

_START_SECONDS = 60.0
_STOP_SECONDS = 5.0


class GatewayProcess:
    """A running gateway. Make it with `GatewayProcess.start`.

    Attributes:
        url: its base, below which the routes are.
        log: its output.
    """

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self._process = process
        self.url = url
        self.log = log

    @classmethod
    def start(cls, port: int, log: Path, environment: Mapping[str, str]) -> GatewayProcess:
        """Start a gateway; it does not answer yet (`wait_until_ready`).

        Args:
            port: on the loopback interface.
            log: its output is appended here.
            environment: on top of this process's.
        """
        process = children.spawn(
            [
                Path(sys.executable).with_name("media-enricher"),
                *("serve", "--host", HOST, "--port", str(port)),
            ],
            log=log,
            environment=environment,
            own_session=True,
        )
        return cls(process, f"http://{HOST}:{port}", log)

    @property
    def has_ended(self) -> bool:
        """Whether the gateway is gone, for whatever reason."""
        return self._process.poll() is not None

    def wait_until_ready(self) -> None:
        """Wait until it answers.

        Raises:
            LocalStackError: it ended instead, or takes too long.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self.has_ended or time.monotonic() > deadline:
                raise LocalStackError(f"The gateway did not start. Its log: {self.log}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the gateway and wait for its end."""
        children.stop(self._process, signal.SIGTERM, patience=_STOP_SECONDS)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5).is_success
        except httpx.TransportError:
            return False
