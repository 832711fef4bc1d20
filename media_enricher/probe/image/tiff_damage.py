"""Damage within the strips and tiles of a TIFF, which libtiff passes over (TIFF 6.0).

Pillow silences libtiff's warnings, and libtiff stops as soon as a strip's rows are full. What can
be known depends on the compression: Deflate ends with a checksum, of JPEG libjpeg-turbo warns, and
the runs of PackBits fill each row exactly. LZW has none of these, but libtiff itself refuses most
damage of it. Bytes that are not compressed can't be told from others.

The checksum of Deflate is one of the samples that libtiff has made of a strip, so most strips need
not be inflated a second time.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

import msgspec
import numpy as np
from PIL import Image

from media_enricher.probe.image import jpeg, jpeg_decoder
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.metadata.directories import Directory, Tiff
from media_enricher.probe.source import MoreBytesError, UnreadableError, Window

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _PLANES = 256, 257, 258, 259, 277, 284
_STRIPS, _ROWS, _STRIP_BYTES, _TILE_WIDTH, _TILE_HEIGHT = 273, 278, 279, 322, 323
_PREDICTOR, _DIFFERENCES = 317, 2
_TILES, _TILE_BYTES, _TABLES = 324, 325, 347
_WANTED = frozenset(
    {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _PLANES, _STRIPS, _ROWS, _STRIP_BYTES,
     _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _TABLES, _PREDICTOR}
)  # fmt: skip
_JPEG, _DEFLATE, _OLD_DEFLATE, _PACK_BITS = 7, 8, 32946, 32773
_DEFLATES = frozenset({_DEFLATE, _OLD_DEFLATE})
_SEPARATE = 2
"""PlanarConfiguration: the samples of a pixel lie in strips of their own."""

_MOST_PIECES = 10_000
"""Strips or tiles that are looked at."""
_MOST_BYTES = 400 * 1024 * 1024
"""Inflated in all."""
_MOST_PIXELS = 200_000_000
"""Decoded of JPEG, at an eighth of the size: about a second."""
_MOST_RUNS = 2_000_000
"""Of PackBits, in all: half a second."""
_AT_ONCE = 1024 * 1024
_LEAST_JPEG = 4

_TURNED_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""Orientation -> what undoes the turn that Pillow has made."""


class _Strips(msgspec.Struct):
    """What a decoder made of strips."""

    image: Image.Image
    """As it is stored, not upright."""
    rows: int
    """Of a strip."""
    has_differences: bool
    """What is compressed are the differences between a sample and the one before."""

    def has(self, number: int, piece: bytes) -> bool:
        """Whether a compressed strip ends with the checksum (Adler-32) of its part of `image`."""
        width, height = self.image.size
        top = number * self.rows
        bottom = min(top + self.rows, height)
        checksum = 1
        step = max(_AT_ONCE // (4 * width), 1)  # a strip may be the whole picture
        for row in range(top, bottom, step):
            samples = np.asarray(self.image.crop((0, row, width, min(row + step, bottom))))
            if self.has_differences:
                samples = np.diff(samples, axis=1, prepend=np.uint8(0))
            checksum = zlib.adler32(samples.data, checksum)
        return piece.endswith(checksum.to_bytes(4, "big"))


class _Pieces(msgspec.Struct):
    """The compressed strips or tiles of the first picture."""

    compression: int
    places: list[tuple[int, int]]
    """Start and length of each."""
    rows_bytes: int
    """Of a row of a strip or tile, before compression."""
    pixels: int
    """Of a strip or tile."""
    tables: bytes
    """JPEG: what all have in common."""
    decoded: _Strips | None
    """None where the samples of the picture are not those that were compressed."""
    room: int = _MOST_BYTES
    """What may still be inflated, in bytes."""
    pixels_left: int = _MOST_PIXELS
    """What may still be decoded of JPEG."""
    runs: int = _MOST_RUNS
    """What may still be unpacked."""


def is_damaged(window: Window, header: ImageHeader, image: Image.Image) -> bool:
    """Whether a strip or tile of the first picture is not what its encoder wrote.

    Args:
        window: on a whole file, of which the header was read.
        header: of this file.
        image: what Pillow made of it.
    """
    try:
        pieces = _pieces(Tiff(window), header, image)
    except (MoreBytesError, UnreadableError, ValueError):
        return False  # libtiff, which needs these values too, says what is wrong with them
    check = _CHECKS.get(pieces.compression)
    return check is not None and any(
        check(number, piece, pieces) for number, piece in _contents(window, pieces)
    )


def _pieces(tiff: Tiff, header: ImageHeader, image: Image.Image) -> _Pieces:
    first = tiff.directory(tiff.first, _WANTED)
    is_tiled = _TILES in first.entries
    starts = _numbers(tiff, first, _TILES if is_tiled else _STRIPS)
    lengths = _numbers(tiff, first, _TILE_BYTES if is_tiled else _STRIP_BYTES)
    height = header.height or 1
    width = tiff.number(first, _TILE_WIDTH if is_tiled else _WIDTH) or 1
    rows = tiff.number(first, _TILE_HEIGHT if is_tiled else _ROWS) or height
    is_separate = tiff.number(first, _PLANES) == _SEPARATE
    samples = 1 if is_separate else tiff.number(first, _SAMPLES) or 1
    tables = first.entries.get(_TABLES)
    compression = tiff.number(first, _COMPRESSION) or 1
    decoded = None
    if compression in _DEFLATES and not is_tiled and header.bit_depth == 8:
        turn = _TURNED_BACK.get(header.orientation or 1)
        stored = image if turn is None else image.transpose(turn)
        decoded = _Strips(stored, rows, tiff.number(first, _PREDICTOR) == _DIFFERENCES)
    return _Pieces(
        compression=compression,
        places=list(zip(starts, lengths, strict=False)),
        rows_bytes=-(-width * samples * (tiff.number(first, _BITS) or 1) // 8),
        pixels=width * (rows if is_tiled else min(rows, height)),
        tables=tiff.raw(tables) if tables is not None else b"",
        decoded=decoded,
    )


def _numbers(tiff: Tiff, directory: Directory, tag: int) -> list[int]:
    entry = directory.entries.get(tag)
    return [int(number) for number in tiff.numbers(entry)] if entry is not None else []


def _contents(window: Window, pieces: _Pieces) -> Iterator[tuple[int, bytes]]:
    """The strips or tiles by number, as long as they come to no more bytes than the file has."""
    left = window.size
    for number, (start, length) in enumerate(pieces.places[:_MOST_PIECES]):
        left -= length
        if left < 0 or start + length > window.size:
            return
        if length:
            yield number, window.read(start, length)


def _is_bad_deflate(number: int, piece: bytes, pieces: _Pieces) -> bool:
    """Whether the checksum (RFC 1950) or the coding is wrong."""
    if pieces.decoded is not None:
        if pieces.decoded.has(number, piece):
            return False
        pieces.decoded = None  # a damaged strip, or a layout that differs from the picture's
    inflating = zlib.decompressobj()
    try:
        while not inflating.eof and pieces.room > 0:
            inflated = inflating.decompress(piece, _AT_ONCE)
            pieces.room -= max(len(inflated), 1)
            piece = inflating.unconsumed_tail
            if not inflated and not piece:
                break
    except zlib.error:
        return True
    return False


def _is_bad_jpeg(_: int, piece: bytes, pieces: _Pieces) -> bool:
    """Whether libjpeg-turbo warns of it. What would take long is not asked about."""
    if len(piece) < _LEAST_JPEG:
        return False
    tables = pieces.tables.removesuffix(bytes((0xFF, jpeg.END)))
    whole = tables + piece[2:] if len(tables) > 2 else piece
    header = ImageHeader(format="jpeg")
    try:
        jpeg.read(Window(whole), header)
    except (UnreadableError, MoreBytesError):
        return False
    pixels = (header.width or 0) * (header.height or 0)
    pieces.pixels_left -= pixels
    if header.is_progressive or pixels > 2 * pieces.pixels or pieces.pixels_left < 0:
        return False
    return jpeg_decoder.is_warned_of(whole, header)


def _is_bad_pack_bits(_: int, piece: bytes, pieces: _Pieces) -> bool:
    """Whether the runs do not end with a row: each row is packed by itself (TIFF 6.0, 9)."""
    at = unpacked = 0
    while at < len(piece):
        run = piece[at]
        if run < 128:
            at += run + 2
            unpacked += run + 1
        elif run > 128:
            at += 2
            unpacked += 257 - run
        else:
            at += 1  # no operation
        pieces.runs -= 1
        if pieces.runs < 0:
            return False
    return at > len(piece) or unpacked % pieces.rows_bytes != 0


_CHECKS: dict[int, Callable[[int, bytes, _Pieces], bool]] = {
    **dict.fromkeys(_DEFLATES, _is_bad_deflate),
    _JPEG: _is_bad_jpeg,
    _PACK_BITS: _is_bad_pack_bits,
}
