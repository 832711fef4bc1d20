"""The fork server: the process that decoders are forked from, and the memory shared with them.

A worker process forks it from itself, before it has a key, a thread or an event loop. So the
imports of decoding are paid for once, for all three.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from media_enricher.engine.messages import BEGUN

Serve = Callable[[int, int, int, int], None]
"""What the process does: `decoder.serve`, with its control socket, the shared memory, the word that
names the request in hand, and its parent."""


class ForkServer:
    """The fork server, from its parent's side.

    Attributes:
        control: decoders are asked for here, and their starts and ends are reported here.
        shared: the descriptor of the memory that holds objects. The parent sets its size.
        begun: the descriptor of the word that names the request that a decoder works on.
    """

    def __init__(self) -> None:
        """Make what is shared; `forked` makes the process."""
        self.control, self._child_end = socket.socketpair()
        self.control.setblocking(False)
        self.shared = _shared_memory(0)
        self.begun = _shared_memory(BEGUN.size)
        self._pid = 0

    @classmethod
    def forked(cls, serve: Serve) -> Self:
        """Fork it from this process, which must have one thread and hold no secret."""
        fork_server = cls()
        parent = os.getpid()
        fork_server._pid = os.fork()
        if not fork_server._pid:
            fork_server.control.close()
            serve(fork_server._child_end.fileno(), fork_server.shared, fork_server.begun, parent)
            os._exit(0)
        fork_server._child_end.close()
        return fork_server

    def end(self) -> None:
        """Kill it, and its decoder with it."""
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        self.control.close()
        os.close(self.shared)
        os.close(self.begun)


def _shared_memory(size: int) -> int:
    """The descriptor of memory that processes can share; its pages are allocated when used."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("media-enricher")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor
