"""The main of a lane process: `python -m media_enricher.engine.lane CONTROL PARENT`.

The arguments are the file descriptor of the control socket and the parent's process id. Keep this
light: what it imports, each lane pays for, in start-up and memory.
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
from media_enricher.engine.garbage import collect_seldom
from media_enricher.engine.loops import new_event_loop
from media_enricher.engine.messages import Finished, FrameReader, decode_assignments, frame
from media_enricher.engine.options import EngineOptions
from media_enricher.engine.template import Template
from process_control.parent_death import die_with_parent

_REPORT_AT = 64
_REPORT_AFTER_SECONDS = 0.02
_READ_BYTES = 256 * 1024


class Reporter:
    """Sends outcomes to the parent, a few at a time: soon, but not with a system call for each."""

    def __init__(self, write: Callable[[bytes], None], loop: asyncio.AbstractEventLoop) -> None:
        self._write = write
        self._loop = loop
        self._finished: list[Finished] = []
        self._due: asyncio.TimerHandle | None = None

    def __call__(self, ticket: int, outcome: bytes | msgspec.Raw, /) -> None:
        self._finished.append(Finished(ticket, msgspec.Raw(outcome)))
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


async def serve(control: socket.socket, template: Template) -> None:
    """Do what the parent says until it closes the control socket."""
    # Brings in aiohttp, of which decoders have no need.
    from media_enricher.engine.core import LaneCore  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection(sock=control)
    core: LaneCore | None = None
    running: asyncio.Task[None] | None = None
    frames = FrameReader()
    while data := await reader.read(_READ_BYTES):
        for body in frames.feed(data):
            if core is None:
                options = msgspec.msgpack.decode(body, type=EngineOptions)
                core = LaneCore(options, template, Reporter(writer.write, loop))
                running = loop.create_task(core.run())
                running.add_done_callback(_exit_loudly)
                collect_seldom()
                _hush_libraries()
                await core.ready()
                writer.write(frame([]))  # ready
            else:
                core.assign(decode_assignments(body))


def _hush_libraries() -> None:
    """Let only Python (its exceptions, and its report of a crash) write to what the parent keeps.

    C libraries complain to stderr of every odd file, and a run may meet a million of those.
    """
    kept = os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1)
    faulthandler.enable(kept)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
    sys.stderr = kept


def _exit_loudly(running: asyncio.Task[None]) -> None:
    """A lane whose core has ended is of no use: say why, and let the parent replace it."""
    if not running.cancelled() and (error := running.exception()):
        while isinstance(error, BaseExceptionGroup):  # of the core's tasks, of which one failed
            error = error.exceptions[0]
        sys.excepthook(type(error), error, error.__traceback__)
    os._exit(1)


def main() -> None:
    """Run a lane."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    control, parent = (int(argument) for argument in sys.argv[1:])
    die_with_parent(parent)
    template = Template.forked(decoder.serve)
    sandbox.hide_from_others()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(socket.socket(fileno=control), template))
        os._exit(0)  # not waiting for the decoder: nobody is there to be told


if __name__ == "__main__":
    main()
