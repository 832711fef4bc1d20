"""The messages between the processes of the engine, and their frames.

A frame is four bytes of length (big-endian) and msgpack. Never pickle.

* Parent to worker: first an `EngineOptions`, then lists of `Assignment`. Worker to parent: first an
  empty list, which means ready, then lists of `Finished`.
* Worker to decoder: first a `ProbeOptions`, then lists of `ProbeRequest`. Decoder to worker: first
  None, which means ready, then lists of `ProbeAnswer`. The bytes of the objects are in memory that
  both share, or in a file whose descriptor is sent with the request.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import msgspec

from media_enricher.models import Depth, Outcome, StorageObject
from media_enricher.probe.source import ByteRange

REPORT = struct.Struct("=ii")
"""The fork server's report of a decoder: its process id and its wait status, -1 when it starts."""
BEGUN = struct.Struct("=Q")
"""The number of the request that a decoder works on, in memory that outlives it; 0 for none."""
_LENGTH_BYTES = 4
_LONGEST_FRAME_BYTES = 64 * 1024 * 1024
"""Far above what any message takes. A decoder that an attacker controls must not fill the worker's
memory."""


class Assignment(msgspec.Struct, frozen=True, array_like=True):
    """One object for a worker to enrich. The number is the parent's name for this try of it."""

    number: int
    depth: Depth
    object: StorageObject


class Finished(msgspec.Struct, frozen=True, array_like=True):
    """One object that a worker has finished."""

    number: int
    outcome: msgspec.Raw
    """An encoded `Outcome`, as `decode_outcome` reads it."""


class Effort(msgspec.Struct, array_like=True):
    """What one object took so far; it adds up over ranges and repeats."""

    bytes_read: int = 0
    download_seconds: float = 0.0
    probe_seconds: float = 0.0


class ProbeRequest(msgspec.Struct, frozen=True, array_like=True):
    """Bytes of one object for a decoder to probe, and what the download told about it.

    Attributes:
        number: the worker's name for this request.
        depth: how much of it was to be read.
        object: what was to be read.
        start: where in the shared memory the bytes begin; None if they come as a file.
        length: how many bytes there are.
        parts: (start in the object, length) of each part of those bytes, which follow each other.
        limit: the most bytes of the object that the decoder may ask for in all.
        size_bytes: of the whole object, where it is known.
        etag: of the response that brought the bytes.
        content_type: of that response, too.
        effort: so far.
        cpu_seconds: the most processor time that the decoder may use for it.
    """

    number: int
    depth: Depth
    object: StorageObject
    start: int | None
    length: int
    parts: list[tuple[int, int]]
    limit: int
    size_bytes: int | None
    etag: str | None
    content_type: str | None
    effort: Effort
    cpu_seconds: float


class ProbeAnswer(msgspec.Struct, frozen=True, array_like=True):
    """What a decoder found: an outcome, or that it needs more bytes.

    Attributes:
        number: of the request.
        outcome: an encoded `Outcome`, or an encoded None if there is none yet.
        ranges: the bytes of the object that are needed as well; none if there is an outcome.
        probe_seconds: how long the decoder took for it.
    """

    number: int
    outcome: msgspec.Raw
    ranges: list[ByteRange] = []
    probe_seconds: float = 0.0


_encoder = msgspec.msgpack.Encoder()
_outcome_decoder = msgspec.msgpack.Decoder(Outcome)

encode = _encoder.encode
decode_outcome = _outcome_decoder.decode
decode_assignments = msgspec.msgpack.Decoder(list[Assignment]).decode
decode_finished = msgspec.msgpack.Decoder(list[Finished]).decode
decode_requests = msgspec.msgpack.Decoder(list[ProbeRequest]).decode
decode_answers = msgspec.msgpack.Decoder(list[ProbeAnswer]).decode


def frame(message: Any) -> bytes:
    """One message as it is sent."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


class FrameReader:
    """Cuts a stream of bytes, fed in pieces of any size, into the bodies of its frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add what arrived; yield the body of each frame that is now complete."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= _LENGTH_BYTES:
            body = start + _LENGTH_BYTES
            length = int.from_bytes(buffer[start:body], "big")
            if length > _LONGEST_FRAME_BYTES:
                raise msgspec.DecodeError(f"a frame of {length:,} bytes is too long for a message")
            end = body + length
            if len(buffer) < end:
                break
            yield bytes(buffer[body:end])
            start = end
        del buffer[:start]
