"""A process that has imported Prefect and the flows, from which a worker's runs are forked."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from process_control.preloaded import SOCKET_VARIABLE
from supabase_local import children
from supabase_local.server_process import ServerProcess


class PreloaderProcess(ServerProcess):
    """A running preloader. Make it with `PreloaderProcess.start`; its runs end with it.

    It need not be ready: a run that begins earlier imports everything itself.
    """

    what = "The preloader of runs"

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        folder: tempfile.TemporaryDirectory[str],
        log: Path,
    ) -> None:
        super().__init__(process, log)
        self._folder = folder

    @classmethod
    def start(cls, log: Path, environment: Mapping[str, str]) -> PreloaderProcess:
        """Start a preloader.

        Args:
            log: its output is appended here. That of runs goes to their worker.
            environment: on top of this process's: the same as the worker's.
        """
        folder = tempfile.TemporaryDirectory(prefix="preloader-")  # private, and its path is short
        process = children.spawn(
            [
                *(sys.executable, "-m", "media_enricher.orchestration.run_preloader"),
                _socket(folder),
            ],
            log=log,
            environment=environment,
            own_session=True,
        )
        return cls(process, folder, log)

    def environment(self) -> dict[str, str]:
        """What makes a worker's runs ask this preloader."""
        return {SOCKET_VARIABLE: str(_socket(self._folder))}

    def stop(self) -> None:
        """Stop it, and the runs that were forked from it."""
        super().stop()
        self._folder.cleanup()


def _socket(folder: tempfile.TemporaryDirectory[str]) -> Path:
    return Path(folder.name) / "socket"
