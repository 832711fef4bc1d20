"""JPEG XL (ISO 18181-1 and -2): the header of the codestream, and the boxes around it.

Size, depth, orientation and alpha stand in the first bits of the codestream, which need no decoder.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from media_enricher.models import ErrorCode
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.metadata.blocks import MAX_BLOCK
from media_enricher.probe.source import UnreadableError, Window

try:
    brotli: Any = importlib.import_module("brotli")
except ImportError:  # it comes with the extra jxl
    brotli = None

_CODESTREAM = b"\xff\x0a"
_HEADER_BYTES = 4096
"""Of the codestream: more than its header takes, names of channels included."""
_MAX_BOXES = 10_000
_MAX_CHANNELS = 256
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_ALPHA, _SPOT, _COLOUR_FILTER = 0, 2, 5
_GREY = 1

_Choice = tuple[int, int]
"""Of a U32: what is added, and how many bits are read."""
_SIZES: tuple[_Choice, ...] = ((1, 9), (1, 13), (1, 18), (1, 30))
_ENUM: tuple[_Choice, ...] = ((0, 0), (1, 0), (2, 4), (18, 6))


class _Bits:
    """Bits of the codestream, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._bits = int.from_bytes(data, "little")
        self._left = len(data) * 8

    def take(self, count: int) -> int:
        if count > self._left:
            raise UnreadableError(ErrorCode.TRUNCATED, "The JPEG XL ends within its header.")
        value = self._bits & ((1 << count) - 1)
        self._bits >>= count
        self._left -= count
        return value

    def flag(self) -> bool:
        return self.take(1) == 1

    def choice(self, *choices: _Choice) -> int:
        """A U32: two bits say which of four ways of coding a number is used."""
        added, bits = choices[self.take(2)]
        return added + self.take(bits)


class _Box(NamedTuple):
    name: bytes
    start: int
    end: int


def read(window: Window, header: ImageHeader) -> None:
    """Read the codestream's header, and hand over the boxes of metadata.

    Raises:
        UnreadableError: corrupt or truncated.
        MoreBytesError: the header lies outside of the window.
    """
    if window.read(0, 2) == _CODESTREAM:
        _codestream(window.read(0, min(window.size, _HEADER_BYTES)), header)
        return
    part, is_jpeg = b"", False
    for box in _boxes(window):
        if box.end > window.size:
            raise UnreadableError(
                ErrorCode.TRUNCATED,
                f"The file ends at byte {window.size:,}, and its content at {box.end:,}.",
            )
        if box.name in {b"jxlc", b"jxlp"} and header.width is None:
            start = box.start + (4 if box.name == b"jxlp" else 0)  # the number of the part
            length = max(min(box.end - start, _HEADER_BYTES), 0)
            part += window.read(start, length)
            if len(part) >= _HEADER_BYTES or box.name == b"jxlc":
                _codestream(part, header)
        elif box.name == b"jbrd":
            is_jpeg = True
        elif box.name in {b"Exif", b"xml ", b"jumb", b"brob"}:
            _keep_block(window, box, header)
    if header.width is None:
        if not part:
            raise UnreadableError(ErrorCode.CORRUPT, "The JPEG XL file holds no picture.")
        _codestream(part, header)
    if is_jpeg:  # the decoder gives back that JPEG, as it was stored
        header.is_turned_by_decoder = False


def _boxes(window: Window) -> Iterator[_Box]:
    """The boxes of the file, as far as the window goes where more of them is of no use."""
    at = 0
    for _ in range(_MAX_BOXES):
        if at + 8 > window.size:
            return
        head = window.read(at, 8)
        length, start = int.from_bytes(head[:4], "big"), at + 8
        if length == 1:
            length, start = int.from_bytes(window.read(at + 8, 8), "big"), at + 16
        end = window.size if length == 0 else at + length
        if end < start:
            raise UnreadableError(
                ErrorCode.CORRUPT, f"The box at byte {at:,} is {length} bytes long."
            )
        yield _Box(head[4:8], start, end)
        at = end


def _keep_block(window: Window, box: _Box, header: ImageHeader) -> None:
    if box.end - box.start > MAX_BLOCK:
        return
    name, start = box.name, box.start
    content = window.read(start, box.end - start)
    if name == b"brob":
        name, packed = content[:4], content[4:]
        unpacked = _unpacked(packed)
        if unpacked is None:
            header.is_cut = True
            return
        content = unpacked
    if name == b"Exif" and len(content) > 4:  # the offset of the TIFF header comes first
        header.keep(content[4 + int.from_bytes(content[:4], "big") :])
    elif name == b"xml ":
        header.keep(content)
    elif name == b"jumb":
        header.keep(window.read(start - 8, 8) + content)


def _unpacked(packed: bytes) -> bytes | None:
    """What Brotli packed (RFC 7932); None where its package is missing, or it makes no sense."""
    if brotli is None:
        return None
    decoder = brotli.Decompressor()
    try:
        unpacked = decoder.process(packed, output_buffer_limit=MAX_BLOCK)
    except brotli.error:
        return None
    return bytes(unpacked) if decoder.is_finished() else None


def _codestream(data: bytes, header: ImageHeader) -> None:
    """SizeHeader and ImageMetadata (18181-1, Annex D)."""
    if data[:2] != _CODESTREAM:
        raise UnreadableError(
            ErrorCode.CORRUPT, f"The JPEG XL's codestream begins with {data[:2]!r}."
        )
    bits = _Bits(data[2:])
    width, height = _size(bits)
    header.mode, header.bit_depth, header.has_alpha = "RGB", 8, False
    header.frame_count, header.is_animated = 1, False
    header.orientation, header.is_turned_by_decoder = 1, True
    header.width, header.height = width, height
    if bits.flag():  # all as usual
        return
    if bits.flag():
        header.orientation = bits.take(3) + 1
        if bits.flag():
            _size(bits)  # a size to be shown in, which viewers leave alone
        if bits.flag():
            _preview_size(bits)
        if bits.flag():
            _animation(bits)
            header.frame_count, header.is_animated = None, True
    header.bit_depth = _depth(bits)
    bits.take(1)
    channels = bits.choice((0, 0), (1, 0), (2, 4), (1, 12))
    if channels > _MAX_CHANNELS:
        raise UnreadableError(
            ErrorCode.CORRUPT, f"The JPEG XL says that it has {channels:,} extra channels."
        )
    header.has_alpha = _ALPHA in [_channel(bits) for _ in range(channels)]
    bits.take(1)
    is_grey = not bits.flag() and _is_grey(bits)
    colours = "L" if is_grey else "RGB"
    header.mode = f"{colours}A" if header.has_alpha else colours


def _size(bits: _Bits) -> tuple[int, int]:
    in_eights = bits.flag()
    height = (bits.take(5) + 1) * 8 if in_eights else bits.choice(*_SIZES)
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio - 1]
        return height * across // down, height
    return (bits.take(5) + 1) * 8 if in_eights else bits.choice(*_SIZES), height


def _preview_size(bits: _Bits) -> None:
    in_eights = bits.flag()
    sizes = (
        ((16, 0), (32, 0), (1, 5), (33, 9))
        if in_eights
        else ((1, 6), (65, 8), (321, 10), (1345, 12))
    )
    bits.choice(*sizes)
    if not bits.take(3):
        bits.choice(*sizes)


def _animation(bits: _Bits) -> None:
    bits.choice((100, 0), (1000, 0), (1, 10), (1, 30))
    bits.choice((1, 0), (1001, 0), (1, 8), (1, 10))
    bits.choice((0, 0), (0, 3), (0, 16), (0, 32))
    bits.take(1)


def _depth(bits: _Bits) -> int:
    if not bits.flag():
        return bits.choice((8, 0), (10, 0), (12, 0), (1, 6))
    depth = bits.choice((32, 0), (16, 0), (24, 0), (1, 6))
    bits.take(4)  # of the exponent
    return depth


def _channel(bits: _Bits) -> int:
    """The sort of an extra channel."""
    if bits.flag():
        return _ALPHA
    sort = bits.choice(*_ENUM)
    _depth(bits)
    bits.choice((0, 0), (3, 0), (4, 0), (1, 3))
    bits.take(8 * bits.choice((0, 0), (0, 4), (16, 5), (48, 10)))
    if sort == _ALPHA:
        bits.take(1)
    elif sort == _SPOT:
        bits.take(64)
    elif sort == _COLOUR_FILTER:
        bits.choice((1, 0), (0, 2), (3, 4), (19, 8))
    return sort


def _is_grey(bits: _Bits) -> bool:
    bits.take(1)  # whether an ICC profile follows
    return bits.choice(*_ENUM) == _GREY
