"""WebP's container (RFC 9649) read chunk by chunk."""

from __future__ import annotations

import struct
from typing import NamedTuple

from media_enricher.models import ErrorCode
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.metadata.blocks import MAX_BLOCK
from media_enricher.probe.source import Buffer, UnreadableError, Window

_CHUNK = struct.Struct("<4sI")
_ALPHA, _ANIMATION = 0x10, 0x02
_ANNOUNCED = {0x20: b"ICCP", 0x08: b"EXIF", 0x04: b"XMP "}
_METADATA = frozenset({*_ANNOUNCED.values(), b"C2PA"})
_MAX_CHUNKS = 100_000
FIRST_CHUNK = 12
_FRAME_HEADER = 16
"""Bytes of an animation's frame before its own chunks."""
_PIXELS = frozenset({b"VP8 ", b"VP8L"})


def read(window: Window, header: ImageHeader) -> None:
    """Read the size, and every chunk but the pixels as far as the window goes."""
    header.bit_depth = 8
    header.frame_count, header.is_animated = 1, False
    first, *_ = window.unpack(_CHUNK, 12)
    reader = _FIRST_CHUNKS.get(bytes(window.read(12, 4)))
    if reader is None:
        raise UnreadableError(ErrorCode.CORRUPT, f"The WebP begins with the chunk {first!r}.")
    reader(window.read(20, 10), header)
    header.mode = "RGBA" if header.has_alpha else "RGB"
    if reader is _extended:
        flags = window.read(20, 1)[0]
        announced = {name for flag, name in _ANNOUNCED.items() if flags & flag}
        _further_chunks(window, header, announced)


def _lossy(start: bytes, header: ImageHeader) -> None:
    if start[3:6] != b"\x9d\x01\x2a":
        raise UnreadableError(ErrorCode.CORRUPT, "The WebP's key frame lacks its start code.")
    header.width = int.from_bytes(start[6:8], "little") & 0x3FFF
    header.height = int.from_bytes(start[8:10], "little") & 0x3FFF
    header.has_alpha = False


def _lossless(start: bytes, header: ImageHeader) -> None:
    if start[0] != 0x2F:
        raise UnreadableError(ErrorCode.CORRUPT, "The WebP's lossless stream lacks its signature.")
    bits = int.from_bytes(start[1:5], "little")
    header.width = (bits & 0x3FFF) + 1
    header.height = (bits >> 14 & 0x3FFF) + 1
    header.has_alpha = bool(bits >> 28 & 1)


def _extended(start: bytes, header: ImageHeader) -> None:
    header.width = int.from_bytes(start[4:7], "little") + 1
    header.height = int.from_bytes(start[7:10], "little") + 1
    header.has_alpha = bool(start[0] & _ALPHA)
    if start[0] & _ANIMATION:
        header.frame_count, header.is_animated = None, True


_FIRST_CHUNKS = {b"VP8 ": _lossy, b"VP8L": _lossless, b"VP8X": _extended}


def _further_chunks(window: Window, header: ImageHeader, announced: set[bytes]) -> None:
    """Read the chunks behind the first; past the window only for metadata that it announces."""
    frames = chunks = 0
    at = FIRST_CHUNK
    while at + 8 <= window.size:
        start = window.peek(at, 8)
        if start is None:
            if not announced or (header.is_animated and not window.is_complete):
                break
            start = window.read(at, 8)
        chunks += 1
        if chunks > _MAX_CHUNKS:
            raise UnreadableError(
                ErrorCode.CORRUPT, f"The WebP has more than {_MAX_CHUNKS:,} chunks."
            )
        name, length = _CHUNK.unpack(start)
        if name == b"ANMF":
            frames += 1
        elif name in _METADATA and length <= MAX_BLOCK and at + 8 + length <= window.size:
            content = window.read(at + 8, length)
            announced.discard(name)
            if name == b"ICCP":
                header.icc = content
            else:
                header.keep(content)
        at += 8 + length + length % 2
    if header.is_animated and window.is_complete:
        is_counted = at <= window.size  # else the last frame is cut, and there may be others
        header.frame_count = max(frames, 1) if is_counted else None
        header.is_animated = frames > 1
    if announced and at + 8 <= window.size:
        window.miss(min(window.size, at + 8))  # an animation's metadata stand behind its frames
    header.has_unannounced = at + 8 <= window.size


def check(window: Window, header: ImageHeader) -> None:
    """Compare the length that the container states with what is there.

    Raises:
        UnreadableError: truncated, within the first picture.
    """
    stated = 8 + int.from_bytes(window.read(4, 4), "little")
    if stated <= window.size:
        return
    picture = first_picture(window)
    if picture is None or picture.end > window.size:
        raise UnreadableError(
            ErrorCode.TRUNCATED,
            f"The WebP ends at byte {window.size:,} of the {stated:,} it states.",
        )
    header.is_truncated = True


class Stream(NamedTuple):
    """The chunk that holds a picture's coded pixels."""

    name: bytes
    start: int
    length: int

    @property
    def end(self) -> int:
        """Behind the stream and its padding."""
        return self.start + self.length + self.length % 2


def first_picture(window: Window) -> Stream | None:
    """The pixels of a still picture, or those of an animation's first frame."""
    at = FIRST_CHUNK
    for _ in range(_MAX_CHUNKS):
        if at + _CHUNK.size > window.size:
            return None
        name, length = _CHUNK.unpack(window.read(at, _CHUNK.size))
        at += _CHUNK.size
        if name in _PIXELS:
            return Stream(name, at, length)
        at += _FRAME_HEADER if name == b"ANMF" else length + length % 2
    return None


def up_to_first_picture(data: Buffer) -> bytes | None:
    """The WebP without what follows its first picture; None where that is cut."""
    window = Window(data)
    picture = first_picture(window)
    if picture is None or picture.end > window.size:
        return None
    kept = window.read(8, picture.end - 8)
    return _CHUNK.pack(b"RIFF", len(kept)) + kept
