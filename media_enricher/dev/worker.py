"""A Prefect worker on this machine, which runs what is started in the work pool."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from media_enricher.dev import process_group
from media_enricher.dev.work_pool import WorkPool
from media_enricher.setup.resources import POOL
from supabase_local import children
from supabase_local.server_process import ServerProcess

QUERY_SECONDS = 0.25
"""How often it looks for runs. A run takes a second to start; looking should add little to that.

An idle Prefect server takes 7.5% of a core for it; with 0.5 s, 5.4%.
"""


def environment_of_runs(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker and its runs, on top of this process's.

    Args:
        environment: names Supabase and Prefect, and has settings of ours.
    """
    binaries = Path(sys.executable).parent
    return {
        "PREFECT_WORKER_QUERY_SECONDS": str(QUERY_SECONDS),
        **environment,
        # Runs are started as `python`, which must be this one.
        "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }


class Worker(ServerProcess):
    """A running worker. Make it with `Worker.start`.

    Its runs end with it: they are cancelled, and report that if they can.

    Attributes:
        log: the output of the worker and of all its runs.
    """

    what = "The Prefect worker"
    stop_seconds = process_group.STOP_SECONDS + 2

    def __init__(self, process: subprocess.Popen[bytes], name: str, log: Path) -> None:
        super().__init__(process, log)
        self._name = name
        self._started = datetime.now(UTC)

    @classmethod
    def start(cls, log: Path, environment: Mapping[str, str]) -> Worker:
        """Start a worker; it does not look for runs yet (`wait_until_ready`).

        Args:
            log: its output is appended here.
            environment: on top of this process's: see `environment_of_runs`.
        """
        name = f"up-{socket.gethostname()}"
        process = children.spawn(
            process_group.command(
                *(sys.executable, "-m", "prefect", "worker", "start"),
                *("--pool", POOL, "--name", name),
            ),
            log=log,
            environment=environment,
            own_session=True,
        )
        return cls(process, name, log)

    def wait_until_ready(self, pool: WorkPool) -> None:
        """Wait until it reports to the work pool.

        Raises:
            LocalStackError: it ended instead, or takes too long.
        """
        self._wait_until(lambda: pool.has_heard_of(self._name, self._started))
