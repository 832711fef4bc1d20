"""The program of an engine worker: `python -m media_enricher.engine.worker_main CONTROL PARENT`.

The arguments are the file descriptor of the control socket and the parent's process id; and, if
downloads are limited, the descriptor of what the workers of a run share for that. Keep the imports
few: each worker pays for them, in start-up time and memory.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from media_enricher.engine import decoder, sandbox
from media_enricher.engine.fork_server import ForkServer
from media_enricher.engine.garbage import collect_seldom
from media_enricher.engine.loops import new_event_loop
from media_enricher.engine.messages import Finished, FrameReader, decode_assignments, frame
from media_enricher.engine.options import EngineOptions
from media_enricher.engine.rate_limit import RateLimit, SharedMoment
from process_control.parent_death import die_with_parent

_REPORT_AT = 64
_REPORT_AFTER_SECONDS = 0.02
_READ_BYTES = 256 * 1024


class Reporter:
    """Sends outcomes to the parent, a few at a time: soon, but without a system call for each."""

    def __init__(self, write: Callable[[bytes], None], loop: asyncio.AbstractEventLoop) -> None:
        self._write = write
        self._loop = loop
        self._finished: list[Finished] = []
        self._due: asyncio.TimerHandle | None = None

    def __call__(self, number: int, outcome: bytes | msgspec.Raw, /) -> None:
        self._finished.append(Finished(number, msgspec.Raw(outcome)))
        if len(self._finished) >= _REPORT_AT:
            self._report()
        elif self._due is None:
            self._due = self._loop.call_later(_REPORT_AFTER_SECONDS, self._report)

    def _report(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._write(frame(self._finished))
        self._finished.clear()


async def serve(
    control: socket.socket, fork_server: ForkServer, shared_moment: int | None = None
) -> None:
    """Work on what the parent assigns until it closes the control socket."""
    # Imports aiohttp, which the fork server and its decoders do not need.
    from media_enricher.engine.engine_worker import EngineWorker  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection(sock=control)
    worker: EngineWorker | None = None
    running: asyncio.Task[None] | None = None
    frames = FrameReader()
    while data := await reader.read(_READ_BYTES):
        for body in frames.feed(data):
            if worker is None:
                options = msgspec.msgpack.decode(body, type=EngineOptions)
                rate_limit = _rate_limit(options, shared_moment)
                report = Reporter(writer.write, loop)
                worker = EngineWorker(options, fork_server, report, rate_limit)
                running = loop.create_task(worker.run())
                running.add_done_callback(_exit_with_reason)
                collect_seldom()
                _silence_libraries()
                await worker.ready()
                writer.write(frame([]))  # ready
            else:
                worker.assign(decode_assignments(body))


def _rate_limit(options: EngineOptions, shared_moment: int | None) -> RateLimit | None:
    if options.max_bytes_per_second is None or shared_moment is None:
        return None
    return RateLimit(SharedMoment(shared_moment), options.max_bytes_per_second)


def _silence_libraries() -> None:
    """Let only Python (its exceptions and crash reports) write to the stderr that the parent has.

    C libraries write a warning for every odd file, and a run may meet a million of those.
    """
    stderr = os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1)
    faulthandler.enable(stderr)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
    sys.stderr = stderr


def _exit_with_reason(running: asyncio.Task[None]) -> None:
    """End this process, whose worker has ended: write why, and let the parent replace it."""
    if not running.cancelled() and (error := running.exception()):
        while isinstance(error, BaseExceptionGroup):  # of the worker's tasks, one of which failed
            error = error.exceptions[0]
        sys.excepthook(type(error), error, error.__traceback__)
    os._exit(1)


def main() -> None:
    """Run an engine worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    control, parent, *shared_moment = (int(argument) for argument in sys.argv[1:])
    die_with_parent(parent)
    fork_server = ForkServer.forked(decoder.serve)
    sandbox.hide_from_others()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(socket.socket(fileno=control), fork_server, *shared_moment))
        os._exit(0)  # at once: the kernel ends the decoder, too


if __name__ == "__main__":
    main()
