"""A Prefect server of the demo's own, on this machine's loopback interface.

It is a program to start here, as Postgres is: nothing of Prefect is imported.
"""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from media_enricher.local import children
from media_enricher.local.ports import HOST, free_port

START_SECONDS = 120.0
STOP_SECONDS = 10.0


class PrefectServerError(Exception):
    """The Prefect server did not start. The message names its log."""


class PrefectServer:
    """A running server. Make it with `PrefectServer.start`; leave its block, and it has ended.

    Attributes:
        url: of the user interface; the API is at `/api`.
        auth_string: `user:password`, which both ask for: whoever reaches the API may run code.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], folder: Path, url: str, auth_string: str
    ) -> None:
        self._process = process
        self._folder = folder
        self.url = url
        self.auth_string = auth_string

    @classmethod
    def start(cls, folder: Path) -> PrefectServer:
        """Start a server that keeps its database, profiles and results in `folder`.

        It does not answer yet: `wait_until_ready` before it is used.
        """
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        auth_string = f"demo:{secrets.token_urlsafe(9)}"
        process = children.spawn(
            [
                *(sys.executable, "-m", "prefect", "server", "start"),
                *("--host", HOST, "--port", str(port)),
            ],
            log=folder / "server.log",
            environment={
                "PREFECT_HOME": str(folder.absolute()),
                "PREFECT_SERVER_API_AUTH_STRING": auth_string,
                "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
                "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
                "DO_NOT_TRACK": "1",
            },
        )
        return cls(process, folder, f"http://{HOST}:{port}", auth_string)

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Wait until the API answers.

        Raises:
            PrefectServerError: it ended instead, or takes too long.
        """
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise PrefectServerError(
                    f"The Prefect server did not start. Its log: {self._folder / 'server.log'}"
                )
            time.sleep(0.1)

    def environment(self) -> dict[str, str]:
        """The environment variables that make Prefect use this server."""
        return {
            "PREFECT_HOME": str(self._folder.absolute()),
            "PREFECT_API_URL": f"{self.url}/api",
            "PREFECT_API_AUTH_STRING": self.auth_string,
            "DO_NOT_TRACK": "1",
        }

    def stop(self) -> None:
        """End the server and wait for its end. Its data stays."""
        children.stop(self._process, signal.SIGINT, signal.SIGTERM, patience=STOP_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/api/health", timeout=5).is_success
        except httpx.TransportError:
            return False
