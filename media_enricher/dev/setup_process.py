"""`media-enricher setup` as a child process, which runs while the servers start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from media_enricher.dev.work_pool import WorkPool
from process_control.stoppable import Stoppable
from supabase_local import children
from supabase_local.errors import LocalStackError

_SECONDS = 240.0


class SetupProcess(Stoppable):
    """A set-up under way. Make it with `SetupProcess.start`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self._deadline = time.monotonic() + _SECONDS

    @classmethod
    def start(
        cls, log: Path, environment: Mapping[str, str], *, wait_seconds: float
    ) -> SetupProcess:
        """Start to make the deployments and whatever else Prefect needs.

        Args:
            log: what was made or found is appended here.
            environment: on top of this process's.
            wait_seconds: how long it waits for a Prefect server that is still starting.
        """
        process = children.spawn(
            [
                Path(sys.executable).with_name("media-enricher"),
                *("setup", "--wait", str(wait_seconds)),
            ],
            log=log,
            environment=environment,
            own_session=True,
        )
        return cls(process, log)

    def wait_for_pool(self, pool: WorkPool) -> None:
        """Wait until the work pool exists, which is soon. A worker may then start.

        Raises:
            LocalStackError: the set-up failed, or takes too long.
        """
        while not pool.exists():
            if self._process.poll() is not None or time.monotonic() > self._deadline:
                raise self._failed()
            time.sleep(0.1)

    def wait(self) -> None:
        """Wait until everything is done.

        Raises:
            LocalStackError: it failed, or takes too long.
        """
        try:
            code = self._process.wait(max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise self._failed() from None
        if code != 0:
            raise self._failed()

    def stop(self) -> None:
        """Kill it, and the Prefect program that it runs, if it has not ended yet."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _failed(self) -> LocalStackError:
        has_ended = self._process.poll() is not None
        why = children.reason(self._log) if has_ended else f" in {_SECONDS:.0f} s"
        return LocalStackError(
            f"Prefect could not be set up for Media Enricher{why}. The log: {self._log}"
        )
