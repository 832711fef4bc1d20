"""A server that was started as a program: waited for, watched and stopped in one way."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import httpx
import psutil

from process_control.stoppable import Stoppable
from supabase_local import children
from supabase_local.errors import LocalStackError
from supabase_local.ports import PortTakenError, is_free

_ANSWER_SECONDS = 5.0


class ServerProcess(Stoppable):
    """A running server.

    Attributes:
        log: its output.
    """

    what: ClassVar[str]
    """As a sentence begins: `The gateway`."""
    start_seconds: ClassVar[float] = 120.0
    """The longest that its start may take."""
    look_seconds: ClassVar[float] = 0.1
    """How long to wait between two looks whether it has started."""
    stop_seconds: ClassVar[float] = 5.0
    """How long it may take to end by itself, after each signal."""
    stop_signals: ClassVar[tuple[signal.Signals, ...]] = (signal.SIGTERM,)
    """Sent one after the other until it ends; SIGKILL follows."""

    def __init__(
        self, process: subprocess.Popen[bytes], log: Path, *, chosen_ports: Sequence[int] = ()
    ) -> None:
        """Take over a process that was just started.

        Args:
            process: the server's.
            log: its output.
            chosen_ports: that it was told to listen on and that were free then. If it ends at its
                start and one of them is taken, that is a PortTakenError (see `on_free_ports`). It
                has not started before it listens on all of them: what answers there until then
                is a stranger's.
        """
        self._process = process
        self._chosen_ports = tuple(chosen_ports)
        self.log = log

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it is gone, for whatever reason."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """End it and wait for its end. Its data stays."""
        children.stop(self._process, *self.stop_signals, patience=self.stop_seconds)

    def _wait_until_it_answers(self, url: str) -> None:
        """Ask until the answer says that all is well.

        Raises:
            LocalStackError: it ended instead, or takes too long.
        """
        with httpx.Client(timeout=_ANSWER_SECONDS) as client:

            def answers() -> bool:
                try:
                    return client.get(url).is_success
                except httpx.TransportError:
                    return False

            self._wait_until(answers)

    def _wait_until(self, is_ready: Callable[[], bool]) -> None:
        """Look until it is ready; if that fails, stop it.

        Raises:
            PortTakenError: it ended, and a port that was chosen for it is taken.
            LocalStackError: it ended instead, or takes too long.
        """
        try:
            self._look_until(is_ready)
        except BaseException:
            self.stop()
            raise

    def _look_until(self, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self.start_seconds
        while not (is_ready() and self._listens()):
            if self.has_ended:
                raise self._start_error(children.reason(self.log))
            if time.monotonic() > deadline:
                raise self._start_error(f" in {self.start_seconds:.0f} s")
            time.sleep(self.look_seconds)

    def _listens(self) -> bool:
        """Whether it, or a process that it started, has all the ports chosen for it."""
        if not self._chosen_ports:
            return True
        open_ports: set[int] = set()
        with contextlib.suppress(psutil.NoSuchProcess):
            server = psutil.Process(self.pid)
            for process in (server, *server.children(recursive=True)):
                open_ports |= {
                    connection.laddr.port
                    for connection in process.net_connections("tcp")
                    if connection.status == psutil.CONN_LISTEN
                }
        return open_ports.issuperset(self._chosen_ports)

    def _start_error(self, why: str = "", *, log_lines: str = "") -> LocalStackError:
        """The error to raise for a start that failed.

        Args:
            why: the end of the sentence, as ` in 30 s` or `: no such database`.
            log_lines: of the log, to be shown below the sentence.
        """
        was_port_taken = self.has_ended and not all(map(is_free, self._chosen_ports))
        kind = PortTakenError if was_port_taken else LocalStackError
        shown = f", which ends with:\n{log_lines}" if log_lines else ""
        return kind(f"{self.what} did not start{why}. Its log: {self.log}{shown}")
