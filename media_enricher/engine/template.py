"""The process that decoders are forked from, and the memory that is shared with them.

A lane process forks it from itself, before it has a key, a thread or an event loop: what decoding
needs is imported once for both. Where a lane is a thread, it is a program of its own.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from media_enricher.engine import sandbox
from media_enricher.engine.messages import BEGUN

_PACKAGES = str(Path(__file__).parents[2])
_COMPLAINT_BYTES = 4000

Serve = Callable[[int, int, int, int], None]
"""What the process does: `decoder.serve`, with its control socket, the shared memory, the word that
tells what was begun, and its parent."""


class Template:
    """The process, from its parent's side.

    Attributes:
        control: over which decoders are asked for, and their starts and ends told.
        shared: the descriptor of the memory that holds objects; its size is the parent's to set.
        begun: that of the word that tells which request a decoder is at.
    """

    def __init__(self) -> None:
        """Make what is shared; `forked` and `started` make the process."""
        self.control, self._theirs = socket.socketpair()
        self.control.setblocking(False)
        self.shared = _shared_memory(0)
        self.begun = _shared_memory(BEGUN.size)
        self._pid = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed in end()

    @classmethod
    def forked(cls, serve: Serve) -> Self:
        """Fork it from this process, which must have one thread, and nothing that is secret."""
        template = cls()
        parent = os.getpid()
        template._pid = os.fork()
        if not template._pid:
            template.control.close()
            serve(template._theirs.fileno(), template.shared, template.begun, parent)
            os._exit(0)
        template._theirs.close()
        return template

    @classmethod
    def started(cls) -> Self:
        """Start it as a program."""
        template = cls()
        descriptors = (template._theirs.fileno(), template.shared, template.begun)
        template._process = subprocess.Popen(  # noqa: S603 - our own module and four numbers
            [sys.executable, "-P", "-m", "media_enricher.engine.decoder"]
            + [str(number) for number in (*descriptors, os.getpid())],
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=template._complaints,
            env=sandbox.environment() | {"PYTHONPATH": search_path()},
        )
        template._theirs.close()
        return template

    def complaint(self) -> str:
        """What it wrote to stderr, if that is not this process's own."""
        self._complaints.seek(0)
        return self._complaints.read()[-_COMPLAINT_BYTES:].decode(errors="replace").strip()

    def end(self) -> None:
        """Kill it, and the decoder with it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        elif self._pid:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
        self.control.close()
        self._complaints.close()
        os.close(self.shared)
        os.close(self.begun)


def search_path() -> str:
    """PYTHONPATH for a process of the engine: this package, wherever this process found it."""
    return os.pathsep.join([_PACKAGES, *filter(None, [os.environ.get("PYTHONPATH")])])


def _shared_memory(size: int) -> int:
    """The descriptor of memory that processes may share; its pages are taken as they are used."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("media-enricher")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor
