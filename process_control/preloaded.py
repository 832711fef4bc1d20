"""`python -m process_control.preloaded MODULE …`: as `python -m MODULE …`, without its imports.

It asks a preloader (`process_control.preloader`) for a process that has imported everything, and
stands in for that process: it passes on signals, and ends as that process ends. Where no preloader
is named, or that one declines, this process becomes `python -m MODULE …` itself.

Keep the imports few: each start pays for them.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from types import FrameType
from typing import NoReturn

SOCKET_VARIABLE = "PRELOADER_SOCKET"
"""The environment variable with the path of the preloader's socket."""
YES = b"y"
LENGTH_BYTES = 4
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_ANSWER_SECONDS = 10.0
"""A preloader that takes longer to answer is not waited for."""


def main(arguments: list[str]) -> NoReturn:
    """Run a module, here or elsewhere.

    Args:
        arguments: its name, and its own arguments.
    """
    process = _Elsewhere()
    if process.begin(os.environ.get(SOCKET_VARIABLE), arguments):
        _end_as(process.exit_code())
    process.give_back_signals()
    os.execv(sys.executable, [sys.executable, "-m", *arguments])  # noqa: S606 - no shell is meant


class _Elsewhere:
    """The process that the preloader forks for us."""

    def __init__(self) -> None:
        self._control, self._its_end = socket.socketpair()
        self._came: list[int] = []
        for each in _FORWARDED:
            signal.signal(each, self._forward)

    def begin(self, path: str | None, arguments: list[str]) -> bool:
        """Have it run the module; False if it does not, and never will."""
        if not path:
            return False
        try:
            with socket.socket(socket.AF_UNIX) as preloader:
                preloader.settimeout(_ANSWER_SECONDS)
                preloader.connect(path)
                self._send(preloader, arguments)
                if preloader.recv(1) != YES:
                    return False
                preloader.sendall(YES)  # it waits for this, so that it can't begin once we gave up
        except OSError:
            return False
        return True

    def exit_code(self) -> int:
        """Wait until it ends; its exit code as `subprocess` has it, negative for a signal."""
        code = self._control.recv(LENGTH_BYTES, socket.MSG_WAITALL)
        if len(code) < LENGTH_BYTES:  # the preloader was killed, and the process with it
            return -signal.SIGKILL
        return int.from_bytes(code, "big", signed=True)

    def give_back_signals(self) -> None:
        """Handle the signals that came so far as if they came now, and to a process without it."""
        for each in _FORWARDED:
            signal.signal(each, signal.SIG_DFL)
        for number in self._came:
            os.kill(os.getpid(), number)

    def _send(self, preloader: socket.socket, arguments: list[str]) -> None:
        folder = os.open(".", os.O_RDONLY)
        with self._its_end:
            socket.send_fds(preloader, [YES], [0, 1, 2, folder, self._its_end.fileno()])
        os.close(folder)
        environment = [b"%s=%s" % variable for variable in os.environb.items()]
        for block in ([os.fsencode(argument) for argument in arguments], environment):
            body = b"\0".join(block)
            preloader.sendall(len(body).to_bytes(LENGTH_BYTES, "big") + body)

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        self._came.append(number)
        try:
            self._control.send(bytes([number]))
        except OSError:  # it has ended, and we are about to
            return


def _end_as(code: int) -> NoReturn:
    """End with an exit code, or by a signal if it is negative."""
    if code >= 0:
        sys.exit(code)
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
    sys.exit(128 - code)  # a signal that ends nothing


if __name__ == "__main__":
    main(sys.argv[1:])
