"""A decoder, as the worker sees it that downloads for it: bytes in, an answer out.

The bytes go through memory that both share, in two halves. While the decoder works on one half, the
worker fills the other with whatever waits: one large object or dozens of small ones.

A decoder works on one object at a time and says which, so when it dies, the worker knows which
object it was. That object is tried once more, alone, in the next decoder. If that dies as well, the
object fails with an error that says so; if it used up its processor time, it fails at once. All
other objects are sent again: their bytes are still here.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

import msgspec

from media_enricher.engine.fork_server import ForkServer
from media_enricher.engine.messages import (
    BEGUN,
    REPORT,
    FrameReader,
    ProbeAnswer,
    ProbeRequest,
    decode_answers,
    encode,
    frame,
)
from media_enricher.engine.options import EngineOptions
from media_enricher.engine.outcomes import outcome_of_failure
from media_enricher.models import ErrorCode

_READ_BYTES = 1024 * 1024
_REQUESTS_AT_ONCE = 128
_GATHER_SECONDS = 0.01
"""How long the first object that waits does so for others. Small objects come by the
thousand a second, and a message for each took a sixth of the worker's processor time. To a large
object, 10 ms are nothing."""
_FALSE_STARTS_ALLOWED = 3
_WATCH_SECONDS = 1.0


class DecoderStartError(Exception):
    """Decoders end before they have decoded anything. The message says how."""


class DecodeJob:
    """Bytes that wait for the decoder, or that it works on."""

    __slots__ = ("answer", "data", "deaths", "file", "half", "request")

    def __init__(self, request: ProbeRequest, data: bytes, file: int | None) -> None:
        self.request = request
        self.data = data
        self.file = file
        self.answer: asyncio.Future[ProbeAnswer] = asyncio.get_running_loop().create_future()
        self.half = 0
        self.deaths = 0


class Decoder:
    """One decoder at a time, replaced when it dies. For one event loop; not thread-safe.

    `run` must be running while `probe` is waited for.
    """

    def __init__(self, options: EngineOptions, fork_server: ForkServer) -> None:
        """Nothing is started yet.

        Args:
            options: how to work.
            fork_server: what decoders are forked from. Ended when `run` is.
        """
        self._options = options
        self._fork_server = fork_server
        self._half_bytes = min(options.spool_bytes, options.worker_memory_bytes)
        self._numbers = count(1)  # 0 is "nothing"
        self._waiting: deque[DecodeJob] = deque()
        self._gathering: asyncio.TimerHandle | None = None
        self._suspects: deque[DecodeJob] = deque()
        self._held: dict[int, DecodeJob] = {}
        self._in_half = [0, 0]
        self._is_alone = False
        self._connection: socket.socket | None = None
        self._frames = FrameReader()
        self._outgoing: deque[tuple[memoryview, list[int]]] = deque()
        self._pid = 0
        self._killed_because: str | None = None
        self._answered_at = 0.0
        self._false_starts = 0
        self._is_ready = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the first decoder says that it is ready."""

    async def run(self) -> None:
        """Keep a decoder running until cancelled.

        Raises:
            DecoderStartError: none can be started.
        """
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        loop, fork_server = asyncio.get_running_loop(), self._fork_server
        os.ftruncate(fork_server.shared, 2 * self._half_bytes)
        with (
            mmap.mmap(fork_server.shared, 2 * self._half_bytes) as self._memory,
            mmap.mmap(fork_server.begun, BEGUN.size) as self._begun,
        ):
            loop.add_reader(fork_server.control, self._receive_report)
            self._start()
            watch = asyncio.ensure_future(self._watch())
            try:
                await self._ended
            finally:
                watch.cancel()
                self._disconnect()
                loop.remove_reader(fork_server.control)
                fork_server.end()

    async def probe(self, request: ProbeRequest, data: bytes, file: int | None) -> ProbeAnswer:
        """Have the decoder probe bytes.

        Args:
            request: what is known of them. Its number and place are set here.
            data: the bytes, unless they are in a file.
            file: the descriptor of the file that holds them, if they are too many for memory.
        """
        job = DecodeJob(request, data, file)
        self._waiting.append(job)
        if self._gathering is None:
            loop = asyncio.get_running_loop()
            self._gathering = loop.call_later(_GATHER_SECONDS, self._hand_out_gathered)
        return await job.answer

    def _start(self) -> None:
        """Have the next decoder forked."""
        self._connection, decoder_end = socket.socketpair()
        self._connection.setblocking(False)
        self._frames = FrameReader()
        self._is_ready = False
        self._answered_at = time.monotonic()
        self._outgoing = deque([(memoryview(frame(self._options.probe)), [])])
        with decoder_end:
            socket.send_fds(self._fork_server.control, [b"\0"], [decoder_end.fileno()])
        asyncio.get_running_loop().add_reader(self._connection, self._receive)
        self._write()
        self._hand_out()

    def _disconnect(self) -> None:
        if self._connection is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._connection)
            loop.remove_writer(self._connection)
            self._connection.close()
            self._connection = None

    def _receive_report(self) -> None:
        """Note the start or end of a decoder. Without a fork server there will be no other."""
        try:
            data = self._fork_server.control.recv(REPORT.size)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if len(data) < REPORT.size:
            self._fail("the fork server, which starts decoders, ended")
            return
        pid, status = REPORT.unpack(data)
        if status == -1:
            self._pid = pid
        else:
            self._reap(status)

    def _receive(self) -> None:
        """Take the answers that have arrived."""
        if self._connection is None:
            return
        try:
            while data := self._connection.recv(_READ_BYTES):
                for body in self._frames.feed(data):
                    self._take(body)
        except BlockingIOError:
            self._hand_out()
            return
        except msgspec.DecodeError:
            self._kill("it sent an invalid answer")
        except OSError:
            pass
        # It has ended, or will. The fork server will report how.
        asyncio.get_running_loop().remove_reader(self._connection)

    def _take(self, body: bytes) -> None:
        if not self._is_ready:
            self._is_ready = True
            if not self.ready.done():
                self.ready.set_result(None)
            return
        for answer in decode_answers(body):
            self._answered_at = time.monotonic()
            self._false_starts = 0
            job = self._held.pop(answer.number, None)
            if job is not None:
                self._in_half[job.half] -= 1
                _finish(job, answer)

    def _hand_out_gathered(self) -> None:
        self._gathering = None
        self._hand_out()

    def _hand_out(self) -> None:
        """Send the decoder what waits, as far as there is room in the shared memory."""
        if self._connection is None or self._gathering or (self._is_alone and self._held):
            return
        self._is_alone = bool(self._suspects)
        if self._is_alone:
            if not self._held:
                self._send([self._suspects.popleft()], half=0)
            return
        for half in (0, 1):
            if self._waiting and not self._in_half[half]:
                self._send(list(self._next_jobs()), half)

    def _next_jobs(self) -> Iterator[DecodeJob]:
        """From the front of the queue: what fits into one half, up to one that comes as a file."""
        room = self._half_bytes
        for _ in range(_REQUESTS_AT_ONCE):
            if not self._waiting or len(self._waiting[0].data) > room:
                return
            job = self._waiting.popleft()
            if job.answer.cancelled():
                continue
            yield job
            room -= len(job.data)
            if job.file is not None:
                return

    def _send(self, jobs: list[DecodeJob], half: int) -> None:
        if not self._held:
            self._answered_at = time.monotonic()
        at = half * self._half_bytes
        requests, files = [], []
        for job in jobs:
            end = at + len(job.data)
            if job.file is not None:
                files.append(job.file)
            else:
                self._memory[at:end] = job.data
            job.half = half
            job.request = msgspec.structs.replace(
                job.request,
                number=next(self._numbers),
                start=None if job.file is not None else at,
            )
            self._held[job.request.number] = job
            self._in_half[half] += 1
            requests.append(job.request)
            at = end
        if requests:
            self._outgoing.append((memoryview(frame(requests)), files))
            self._write()

    def _write(self) -> None:
        """Send as much as the socket takes now, and the rest when it takes more."""
        loop, connection = asyncio.get_running_loop(), self._connection
        if connection is None:
            return
        try:
            while self._outgoing:
                data, files = self._outgoing[0]
                sent = (
                    socket.send_fds(connection, [data], files) if files else connection.send(data)
                )
                self._outgoing.popleft()
                if sent < len(data):
                    self._outgoing.appendleft((data[sent:], []))
        except BlockingIOError:
            loop.add_writer(connection, self._write)
            return
        except OSError:  # it has ended; the fork server will report it
            self._outgoing.clear()
        loop.remove_writer(connection)

    def _reap(self, status: int) -> None:
        """Decide on what a decoder that has ended held, and start the next."""
        self._pid = 0
        self._receive()  # its last answers
        (begun,) = BEGUN.unpack_from(self._begun)
        BEGUN.pack_into(self._begun, 0, 0)
        self._disconnect()
        culprit = self._held.pop(begun, None)
        is_certain = culprit is not None or self._is_alone
        if culprit is None and self._held and self._is_ready:
            # It does not say which, as if an attacker controlled it. One at a time is tried alone,
            # the oldest first, because that is the one it had to answer next.
            culprit = self._held.pop(min(self._held))
        others = sorted(self._held.values(), key=lambda job: job.request.number, reverse=True)
        self._waiting.extendleft(others)
        self._held.clear()
        self._in_half = [0, 0]
        self._is_alone = False
        if culprit is not None:
            self._retry_or_fail(culprit, status, is_certain=is_certain)
        elif not self._may_start_again():
            self._fail(f"{_FALSE_STARTS_ALLOWED} decoders in a row ended: {_death(status)}")
            return
        self._killed_because = None
        self._start()

    def _may_start_again(self) -> bool:
        self._false_starts += 1
        return self._false_starts < _FALSE_STARTS_ALLOWED

    def _retry_or_fail(self, culprit: DecodeJob, status: int, *, is_certain: bool) -> None:
        """Try an object alone that a decoder died of, or fail it."""
        if not is_certain:
            self._suspects.append(culprit)
            return
        culprit.deaths += 1
        used_up = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF
        if used_up:
            seconds = culprit.request.cpu_seconds
            _quarantine(culprit, f"it takes more than {seconds:.1f} seconds of processor time")
        elif self._killed_because is not None:
            _quarantine(culprit, self._killed_because)
        elif culprit.deaths > 1:
            death = _death(status)
            _quarantine(culprit, f"the decoder did not survive it, alone in its process: {death}")
        else:
            self._suspects.append(culprit)

    async def _watch(self) -> None:
        """Kill a decoder that gives no answers for too long, whatever it says it works on."""
        longest_seconds = self._options.probe_seconds
        while True:
            await asyncio.sleep(min(_WATCH_SECONDS, longest_seconds))
            self._receive()  # its answers may be here, unread
            if self._held and time.monotonic() - self._answered_at > longest_seconds:
                self._kill(f"no end after {longest_seconds:g} seconds")

    def _kill(self, because: str) -> None:
        self._killed_because = because
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def _fail(self, why: str) -> None:
        if not self._ended.done():
            self._ended.set_exception(DecoderStartError(why))


def _finish(job: DecodeJob, answer: ProbeAnswer) -> None:
    if not job.answer.done():
        job.answer.set_result(answer)


def _quarantine(job: DecodeJob, message: str) -> None:
    request = job.request
    outcome = outcome_of_failure(
        request.object, request.depth, ErrorCode.PROBE_CRASHED, message, request.effort
    )
    _finish(job, ProbeAnswer(request.number, msgspec.Raw(encode(outcome))))


def _death(status: int) -> str:
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return f"exit status {os.waitstatus_to_exitcode(status)}"
