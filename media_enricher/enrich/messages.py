"""What the parent and a lane say to each other, and how it is framed.

A frame is four bytes of length (big-endian) and msgpack. The parent's first frame is an
`EngineOptions`; every later one a list of `Assignment`. A lane's first frame is an empty list, to
say that it is ready; every later one a list of `Finished`. Never pickle, and never an object's
bytes: the lane that downloads is the one that decodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from media_enricher.models import Depth, Outcome, StorageObject

_LENGTH_BYTES = 4


class Assignment(msgspec.Struct, frozen=True, array_like=True):
    """One object for a lane to enrich. The ticket is the parent's name for this try of it."""

    ticket: int
    depth: Depth
    object: StorageObject


class Finished(msgspec.Struct, frozen=True, array_like=True):
    """One object that a lane is through with."""

    ticket: int
    outcome: msgspec.Raw
    """An encoded `Outcome`, as `decode_outcome` reads it."""


_encoder = msgspec.msgpack.Encoder()
_outcome_decoder = msgspec.msgpack.Decoder(Outcome)

encode = _encoder.encode
decode_outcome = _outcome_decoder.decode
decode_assignments = msgspec.msgpack.Decoder(list[Assignment]).decode
decode_finished = msgspec.msgpack.Decoder(list[Finished]).decode


def frame(message: Any) -> bytes:
    """One message as it goes over the wire."""
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
            end = body + int.from_bytes(buffer[start:body], "big")
            if len(buffer) < end:
                break
            yield bytes(buffer[body:end])
            start = end
        del buffer[:start]
