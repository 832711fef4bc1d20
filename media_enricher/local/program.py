"""A server that was started as a program: waited for, watched and stopped in one way."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import httpx

from media_enricher.local import children
from media_enricher.local.errors import LocalStackError

_LOOK_SECONDS = 0.1
_ANSWER_SECONDS = 5.0


class Program:
    """A running server. Leave its block, and it has ended.

    Attributes:
        log: its output.
    """

    what: ClassVar[str]
    """As a sentence begins: `The gateway`."""
    start_seconds: ClassVar[float] = 120.0
    """The longest that its start may take."""
    stop_seconds: ClassVar[float] = 5.0
    """How long it may take to end by itself, after each signal."""
    stop_signals: ClassVar[tuple[signal.Signals, ...]] = (signal.SIGTERM,)

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self.log = log

    @property
    def pid(self) -> int:
        """The program's process."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it is gone, for whatever reason."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """End it and wait for its end. Its data stays."""
        children.stop(self._process, *self.stop_signals, patience=self.stop_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

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
        """Look until it is ready.

        Raises:
            LocalStackError: it ended instead, or takes too long.
        """
        deadline = time.monotonic() + self.start_seconds
        while not is_ready():
            if self.has_ended:
                raise LocalStackError(
                    f"{self.what} did not start{children.reason(self.log)}. Its log: {self.log}"
                )
            if time.monotonic() > deadline:
                raise LocalStackError(
                    f"{self.what} did not start in {self.start_seconds:.0f} s. Its log: {self.log}"
                )
            time.sleep(_LOOK_SECONDS)
