"""JPEG (ITU-T T.81) read segment by segment."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from media_enricher.models import ErrorCode
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.source import Buffer, UnreadableError, Window

_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
_COMPONENTS = {mode: count for count, mode in _MODES.items()}
FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_LOSSLESS = {0xC3, 0xC7, 0xCB, 0xCF}
_NO_SEGMENT = frozenset(range(0xD0, 0xD8)) | {0x00, 0x01, 0xFF}
"""After FF: restart markers and TEM have no length, 00 is an escaped FF, and FF is fill."""
SCAN, END = 0xDA, 0xD9

_ICC = b"ICC_PROFILE\0"
_APP1, _APP2, _APP11, _APP13 = 0xE1, 0xE2, 0xEB, 0xED
_METADATA = frozenset(range(0xE1, 0xF0)) - {0xEE} | {0xFE}
"""Segments of applications, less JFIF's and Adobe's, which tell of colours; and comments."""
_JUMBF_HEADER = 8
"""Bytes before the box in APP11 (ISO 19566-5): `JP`, the box's number, the part's number."""

_SEGMENT = struct.Struct(">BBH")
"""FF, the marker, and the length of what follows, with the two bytes of the length itself."""

MAX_SEGMENTS = 20_000
"""Before the first scan. A long XMP or a panorama has some hundred."""
_MAX_FILL = 1024 * 1024
"""Bytes between segments, which Pillow reads one by one. Writers align with a few."""


def read(window: Window, header: ImageHeader) -> None:
    """Read up to the first scan; metadata stand before it."""
    icc_parts: dict[int, bytes] = {}
    at = 2
    segments = filled = 0
    while True:
        segments += 1
        if segments > MAX_SEGMENTS:
            raise UnreadableError(
                ErrorCode.CORRUPT, f"The JPEG has more than {MAX_SEGMENTS:,} segments."
            )
        end = at
        marker, length, at = next_segment(window, at)
        filled += at - 4 - end
        if filled > _MAX_FILL:
            raise UnreadableError(
                ErrorCode.CORRUPT, f"The JPEG has {filled:,} bytes of fill between its segments."
            )
        if marker == SCAN:
            # With its components in several scans, a JPEG is held as coefficients, as a
            # progressive one is.
            components = window.peek(at, 1)
            if components and components[0] < _COMPONENTS.get(header.mode or "", 0):
                header.is_progressive = True
            break
        if marker in FRAME_HEADERS:
            _frame(window.read(at, min(length, 18)), marker, header)
        elif marker in {_APP1, _APP2, _APP11, _APP13}:
            _application(window, header, icc_parts, marker, at, length)
        at += length
    if icc_parts:
        header.icc = b"".join(icc_parts[number] for number in sorted(icc_parts))
    if header.width is None:
        raise UnreadableError(ErrorCode.CORRUPT, "The JPEG's scan begins before its size is given.")


class Segment(NamedTuple):
    """A marker, and where its content lies."""

    marker: int
    length: int
    start: int


def next_segment(window: Window, at: int) -> Segment:
    """The next segment from `at`; decoders pass over bytes between segments, so do we.

    Raises:
        UnreadableError: the JPEG ends here, by its end marker (corrupt) or without (truncated).
    """
    data, held = window.data, window.held
    while True:
        if at + 4 <= held:  # as most are
            first, second, size = _SEGMENT.unpack_from(data, at)
        else:
            first, second = window.read(at, 2)
            size = None
        if first != 0xFF or second in _NO_SEGMENT:
            at = _next_marker(window, at)
        elif second == END:
            raise UnreadableError(
                ErrorCode.CORRUPT, f"The JPEG ends at byte {at:,}, without a picture."
            )
        else:
            if size is None:
                size = int.from_bytes(window.read(at + 2, 2), "big")
            if size < 2:
                raise UnreadableError(
                    ErrorCode.CORRUPT, f"The JPEG's segment at byte {at:,} has the length {size}."
                )
            return Segment(second, size - 2, at + 4)


_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
"""A marker with a length: what is neither fill, nor escaped, nor bare."""


def _next_marker(window: Window, at: int) -> int:
    found = _MARKER.search(window.data, at)
    return found.start() if found else window.miss(window.held + 1)


def _frame(content: bytes, marker: int, header: ImageHeader) -> None:
    if len(content) < 6:
        raise UnreadableError(ErrorCode.CORRUPT, "The JPEG's frame header is too short.")
    precision, components = content[0], content[5]
    header.height = int.from_bytes(content[1:3], "big")
    header.width = int.from_bytes(content[3:5], "big")
    header.bit_depth = precision
    header.mode = _MODES.get(components)
    header.has_alpha = False
    header.frame_count, header.is_animated = 1, False
    header.is_progressive = marker in _PROGRESSIVE
    header.jpeg_frame = content
    if not header.width or not header.height or not header.mode:
        raise UnreadableError(
            ErrorCode.CORRUPT,
            f"The JPEG says {header.width}x{header.height} pixels of {components} components.",
        )
    if precision != 8 or marker in _LOSSLESS:
        kind = "lossless" if marker in _LOSSLESS else f"{precision}-bit"
        raise UnreadableError(
            ErrorCode.UNSUPPORTED_TYPE, f"A {kind} JPEG, which nothing here decodes."
        )


def coefficients(frame: bytes) -> float:
    """Coefficients a pixel: 1.5 where chroma is halved both ways, else up to one a component."""
    components = frame[5] if len(frame) > 5 else 3
    factors = [(byte >> 4) * (byte & 15) for byte in frame[7 : 6 + 3 * components : 3]]
    across = max((byte >> 4 for byte in frame[7 : 6 + 3 * components : 3]), default=1)
    down = max((byte & 15 for byte in frame[7 : 6 + 3 * components : 3]), default=1)
    return sum(factors) / max(across * down, 1) if len(factors) == components else components


def _application(
    window: Window,
    header: ImageHeader,
    icc_parts: dict[int, bytes],
    marker: int,
    at: int,
    length: int,
) -> None:
    content = window.read(at, length)
    if marker == _APP2:
        if content.startswith(_ICC) and length > 14:
            icc_parts[content[12]] = content[14:]
    elif marker == _APP11:
        header.keep(content[_JUMBF_HEADER:])
    else:
        header.keep(content)


def cleaned_start(data: Buffer) -> bytes:
    """The JPEG without metadata and without bytes between the segments before its first scan.

    A decoder warns of such bytes first, and its next warning is then not heard.
    """
    window = Window(data, len(data))
    kept = [window.read(0, 2)]
    at = 2
    for _ in range(MAX_SEGMENTS):
        marker, length, start = next_segment(window, at)
        if marker == SCAN:
            return b"".join([*kept, bytes(data[start - 4 :])])
        if marker not in _METADATA:
            kept.append(window.read(start - 4, length + 4))
        at = start + length
    return bytes(data)
