"""Free TCP ports on the loopback interface."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TypeVar

from supabase_local.errors import LocalStackError

HOST = "127.0.0.1"
_TRIES = 3
_Server = TypeVar("_Server")


class PortTakenError(LocalStackError):
    """A port was free when it was chosen, and taken when the server wanted to listen on it."""


def on_free_ports(start: Callable[[], _Server]) -> _Server:
    """Start a server that chooses its ports, and once more if one was taken meanwhile.

    Raises:
        LocalStackError: as `start` does.
    """
    for _ in range(_TRIES - 1):
        try:
            return start()
        except PortTakenError:
            continue
    return start()


def free_port(preferred: int | None = None) -> int:
    """A port that nothing listens on: the preferred one if it is free, else any."""
    if preferred and is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections linger in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
