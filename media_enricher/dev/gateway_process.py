"""The gateway as a child process: `media-enricher serve`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from supabase_local import children
from supabase_local.ports import HOST
from supabase_local.server_process import ServerProcess


class GatewayProcess(ServerProcess):
    """A running gateway. Make it with `GatewayProcess.start`.

    Attributes:
        url: its base, below which the routes are.
        log: its output.
    """

    what = "The gateway"

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        super().__init__(process, log, chosen_ports=(port,))
        self.url = f"http://{HOST}:{port}"

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
        return cls(process, port, log)

    def wait_until_ready(self) -> Self:
        """Wait until it answers, and return it; if that fails, stop it.

        Raises:
            PortTakenError: something else listens on its port.
            LocalStackError: it ended instead, or takes too long.
        """
        self._wait_until_it_answers(f"{self.url}/healthz")
        return self
