"""The process of an engine worker, as its parent sees it."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from media_enricher.engine import sandbox
from media_enricher.engine.messages import (
    Assignment,
    Finished,
    FrameReader,
    decode_finished,
    frame,
)
from media_enricher.engine.options import EngineOptions
from media_enricher.engine.rate_limit import SharedMoment
from media_enricher.engine.requests import WorkItem
from process_control.process_groups import adopt_orphans, kill_group, reap_group

_PACKAGES = str(Path(__file__).parents[2])
_READ_BYTES = 1024 * 1024
_STDERR_TAIL_BYTES = 4000


class WorkerProcess:
    """One worker process, started at once. For one thread; no method but `reap` blocks.

    That thread must live as long as the process: to the kernel it is the process's parent. The
    worker leads a process group, which its fork server and its decoder are in.

    Attributes:
        held: what the worker was assigned and has not finished, by item number, oldest first.
        load: seconds of work in `held`, roughly.
        is_ready: whether it has said that it is ready.
        stderr_tail: the end of what it wrote to stderr, once it is reaped.
    """

    def __init__(self, options: EngineOptions, shared_moment: SharedMoment | None = None) -> None:
        """Start it; `shared_moment` is what the workers of a rate limit share."""
        shared = [] if shared_moment is None else [shared_moment.descriptor]
        self.held: dict[int, WorkItem] = {}
        self.load = 0.0
        self.is_ready = False
        self._frames = FrameReader()
        self._outgoing = bytearray(frame(options))
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in reap()
        self.control, worker_end = socket.socketpair()
        self.control.setblocking(False)
        adopt_orphans()  # the fork server and its decoder, if the worker dies
        with worker_end:
            self._process = subprocess.Popen(  # noqa: S603 - our own module and two numbers
                [sys.executable, "-P", "-m", "media_enricher.engine.worker_main"]
                + [str(number) for number in (worker_end.fileno(), os.getpid(), *shared)],
                pass_fds=[worker_end.fileno(), *shared],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                env=sandbox.environment() | {"PYTHONPATH": search_path()} | proxies(),
                process_group=0,
            )
        self.stderr_tail = ""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def events(self) -> int:
        """The events of the control socket to select for now."""
        writing = selectors.EVENT_WRITE if self._outgoing else 0
        return selectors.EVENT_READ | writing

    def hold(self, item: WorkItem) -> None:
        """Count one object as held by it. `send` sends it."""
        self.held[item.number] = item
        self.load += item.cost

    def send(self, items: list[WorkItem]) -> None:
        """Assign items to it that it holds already."""
        self._outgoing += frame(
            [Assignment(item.number, item.request.depth, item.object) for item in items]
        )
        self.write()

    def write(self) -> None:
        """Send as much as the socket takes now."""
        try:
            while self._outgoing:
                sent = self.control.send(self._outgoing)
                del self._outgoing[:sent]
        except BlockingIOError:
            pass
        except OSError:  # it died; `read` will return None
            self._outgoing.clear()

    def read(self) -> list[Finished] | None:
        """What it has finished since the last call; None if it has died."""
        try:
            data = self.control.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        self.is_ready = True
        return [finished for body in self._frames.feed(data) for finished in decode_finished(body)]

    def release(self, number: int) -> WorkItem | None:
        """Stop counting one object as held; None if it was not."""
        item = self.held.pop(number, None)
        if item is not None:
            self.load = self.load - item.cost if self.held else 0.0
        return item

    def kill(self) -> None:
        """Kill it, its fork server and its decoder. Does not wait."""
        kill_group(self._process)

    def reap(self) -> str:
        """Make sure that its group is dead, and free what it used. Returns how the worker died."""
        code = reap_group(self._process)
        self.control.close()
        self._stderr.seek(max(0, self._stderr.seek(0, os.SEEK_END) - _STDERR_TAIL_BYTES))
        self.stderr_tail = self._stderr.read().decode(errors="replace").strip()
        self._stderr.close()
        if code < 0:
            return signal.Signals(-code).name
        return f"exit status {code}: {self.stderr_tail.rpartition(chr(10))[2]}"


def search_path() -> str:
    """PYTHONPATH for a worker: where this process found this package, and its own PYTHONPATH."""
    return os.pathsep.join([_PACKAGES, *filter(None, [os.environ.get("PYTHONPATH")])])


def proxies() -> dict[str, str]:
    """The variables of the environment that name the proxies on the way to Storage."""
    names = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    return {name: value for name, value in os.environ.items() if name.lower() in names}
