"""Decoders, and the fork server that starts them. Both run in processes of their own.

A decoder holds no key and runs in a sandbox (`sandbox`), because it reads untrusted bytes. The fork
server imports all that decoding needs, reads none of those bytes, and forks the decoders, one after
the other. So a decoder that was killed is replaced in milliseconds.

The worker sends the fork server a socket for each decoder that it wants. The fork server answers
with the decoder's process id, and later with how it ended.
"""

from __future__ import annotations

import gc
import mmap
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Sequence

import msgspec

from media_enricher.engine import sandbox
from media_enricher.engine.messages import (
    BEGUN,
    REPORT,
    FrameReader,
    ProbeAnswer,
    ProbeRequest,
    decode_requests,
    encode,
    frame,
)
from media_enricher.engine.outcomes import crashed, outcome_of_failure, outcome_of_findings
from media_enricher.models import AssetStatus, Depth, ErrorCode, Findings
from media_enricher.probe import (
    NeedRanges,
    ProbeOptions,
    keep_blocks,
    probe_full,
    probe_header,
)
from media_enricher.probe.preloading import preload
from process_control.parent_death import die_with_parent

MEMORY_BYTES = 416 * 1024 * 1024
"""The memory that one object may take, beyond the 60 MB or so that a decoder has from the start:
less than 512 MB in all. The probe estimates before it decodes, and stays below. This limit holds
where an estimate is wrong."""

_READ_BYTES = 256 * 1024
_ANSWERS_AT_ONCE = 64
_ANSWER_AFTER_SECONDS = 0.02
_MOST_FILES = 4
_NOTHING = msgspec.Raw(encode(None))


def serve(control_number: int, shared: int, begun: int, parent: int) -> None:
    """The fork server: fork decoders for as long as the worker asks for them.

    Args:
        control_number: the descriptor of the fork server's control socket.
        shared: the descriptor of the memory shared with the worker.
        begun: the descriptor of the word that names the request in work.
        parent: the worker's process id; the fork server ends with it.
    """
    die_with_parent(parent)
    sandbox.keep_descriptors(control_number, shared, begun)
    preload()
    keep_blocks()
    gc.collect()
    gc.freeze()  # what exists now stays, so later collections can skip it
    control = socket.socket(fileno=control_number)
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not data:
            return
        connection = socket.socket(fileno=descriptors[0])
        own_pid = os.getpid()
        child = os.fork()
        if not child:
            control.close()
            die_with_parent(own_pid)
            _decode_all(connection, shared, begun)
            os._exit(0)
        connection.close()
        control.sendall(REPORT.pack(child, -1))
        _, status = os.waitpid(child, 0)
        control.sendall(REPORT.pack(child, status))


def _decode_all(connection: socket.socket, shared: int, begun: int) -> None:
    """Answer requests until the worker closes the connection."""
    # The default action lets the kernel end it by the timer, even in the middle of C code.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    with (
        mmap.mmap(shared, os.fstat(shared).st_size, access=mmap.ACCESS_READ) as memory,
        mmap.mmap(begun, BEGUN.size) as word,
    ):
        sandbox.limit_memory(MEMORY_BYTES)
        sandbox.confine()
        frames = FrameReader()
        files: deque[int] = deque()
        options: ProbeOptions | None = None
        answers = _Answers(connection)
        while True:
            data, descriptors, _, _ = socket.recv_fds(connection, _READ_BYTES, _MOST_FILES)
            files.extend(descriptors)
            if not data:
                return
            for body in frames.feed(data):
                if options is None:
                    options = msgspec.msgpack.decode(body, type=ProbeOptions)
                    connection.sendall(frame(None))  # ready
                    continue
                for request in decode_requests(body):
                    BEGUN.pack_into(word, 0, request.number)
                    answers.add(_answer(request, memory, files, options))
                    BEGUN.pack_into(word, 0, 0)
            answers.send()


class _Answers:
    """Sends answers a few at a time: soon, but without a system call for each."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._answers: list[ProbeAnswer] = []
        self._due = 0.0

    def add(self, answer: ProbeAnswer) -> None:
        if not self._answers:
            self._due = time.monotonic() + _ANSWER_AFTER_SECONDS
        self._answers.append(answer)
        if len(self._answers) >= _ANSWERS_AT_ONCE or time.monotonic() >= self._due:
            self.send()

    def send(self) -> None:
        if self._answers:
            self._connection.sendall(frame(self._answers))
            self._answers.clear()


def _answer(
    request: ProbeRequest, memory: mmap.mmap, files: deque[int], options: ProbeOptions
) -> ProbeAnswer:
    """Probe the bytes of one request. Whatever goes wrong costs this object alone."""
    signal.setitimer(signal.ITIMER_PROF, request.cpu_seconds)
    started = time.perf_counter()
    try:
        if request.start is None:
            found = _probe_file(request, files.popleft(), options)
        else:
            found = _probe(request, _parts(request, request.start, memory), options)
    except MemoryError:
        found = Findings(
            status=AssetStatus.FAILED,
            error_code=ErrorCode.TOO_MANY_PIXELS,
            error_message=f"decoding it takes more than {MEMORY_BYTES >> 20} MB of memory",
        )
    except Exception as error:  # noqa: BLE001 - a bug of a probe must cost one object, not a run
        found = crashed(f"{type(error).__name__}: {error}")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    seconds = time.perf_counter() - started
    if isinstance(found, NeedRanges):
        return ProbeAnswer(request.number, _NOTHING, found.ranges, seconds)
    return ProbeAnswer(request.number, _encoded(request, found, seconds), [], seconds)


def _parts(request: ProbeRequest, start: int, memory: mmap.mmap) -> list[tuple[int, bytes]]:
    """The parts of the object, out of the shared memory."""
    parts = []
    for at, length in request.parts:
        parts.append((at, memory[start : start + length]))
        start += length
    return parts


def _probe(
    request: ProbeRequest, parts: Sequence[tuple[int, bytes | mmap.mmap]], options: ProbeOptions
) -> Findings | NeedRanges:
    source = request.object
    probe = probe_full if request.depth is Depth.FULL else probe_header
    (_, first), *rest = parts
    return probe(
        first,
        size_bytes=request.length if request.size_bytes is None else request.size_bytes,
        path=source.path,
        declared_content_type=source.declared_content_type or request.content_type,
        options=options,
        rest=rest,
        limit=request.limit,
    )


def _probe_file(request: ProbeRequest, file: int, options: ProbeOptions) -> Findings | NeedRanges:
    """Probe an object that is too large for the shared memory. Its file is mapped, not read."""
    try:
        with (
            sandbox.more_memory(request.length),
            mmap.mmap(file, request.length, access=mmap.ACCESS_READ) as data,
        ):
            return _probe(request, [(0, data)], options)
    finally:
        os.close(file)


def _encoded(request: ProbeRequest, found: Findings, seconds: float) -> msgspec.Raw:
    """The encoded outcome, or that of a crash if the findings cannot be encoded."""
    effort = msgspec.structs.replace(
        request.effort, probe_seconds=request.effort.probe_seconds + seconds
    )
    try:
        return msgspec.Raw(encode(outcome_of_findings(request, found, effort)))
    except (TypeError, ValueError, OverflowError) as error:
        return msgspec.Raw(
            encode(
                outcome_of_failure(
                    request.object,
                    request.depth,
                    ErrorCode.PROBE_CRASHED,
                    f"what was found cannot be stored: {error}",
                    effort,
                )
            )
        )
