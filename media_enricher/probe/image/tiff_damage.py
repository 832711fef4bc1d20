"""Damage within the strips and tiles of a TIFF, which libtiff passes over (TIFF 6.0).

Pillow silences libtiff's warnings, and libtiff stops as soon as a strip's rows are full. What can
be known depends on the compression: Deflate ends with a checksum, of JPEG libjpeg-turbo warns, and
the runs of PackBits fill each row exactly. LZW has none of these, but libtiff itself refuses most
damage of it. Bytes that are not compressed can't be told from others.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

import msgspec

from media_enricher.probe.image import jpeg, jpeg_decoder
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.metadata.directories import Directory, Tiff
from media_enricher.probe.source import MoreBytesError, UnreadableError, Window

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _PLANES = 256, 257, 258, 259, 277, 284
_STRIPS, _ROWS, _STRIP_BYTES, _TILE_WIDTH, _TILE_HEIGHT = 273, 278, 279, 322, 323
_TILES, _TILE_BYTES, _TABLES = 324, 325, 347
_WANTED = frozenset(
    {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _PLANES, _STRIPS, _ROWS, _STRIP_BYTES,
     _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _TABLES}
)  # fmt: skip
_JPEG, _DEFLATE, _OLD_DEFLATE, _PACK_BITS = 7, 8, 32946, 32773
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
    room: int = _MOST_BYTES
    """What may still be inflated, in bytes."""
    pixels_left: int = _MOST_PIXELS
    """What may still be decoded of JPEG."""
    runs: int = _MOST_RUNS
    """What may still be unpacked."""


def is_damaged(window: Window, header: ImageHeader) -> bool:
    """Whether a strip or tile of the first picture is not what its encoder wrote.

    Args:
        window: on a whole file, of which the header was read.
        header: of this file.
    """
    try:
        pieces = _pieces(Tiff(window), header)
    except (MoreBytesError, UnreadableError, ValueError):
        return False  # libtiff, which needs these values too, says what is wrong with them
    check = _CHECKS.get(pieces.compression)
    return check is not None and any(check(piece, pieces) for piece in _contents(window, pieces))


def _pieces(tiff: Tiff, header: ImageHeader) -> _Pieces:
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
    return _Pieces(
        compression=tiff.number(first, _COMPRESSION) or 1,
        places=list(zip(starts, lengths, strict=False)),
        rows_bytes=-(-width * samples * (tiff.number(first, _BITS) or 1) // 8),
        pixels=width * (rows if is_tiled else min(rows, height)),
        tables=tiff.raw(tables) if tables is not None else b"",
    )


def _numbers(tiff: Tiff, directory: Directory, tag: int) -> list[int]:
    entry = directory.entries.get(tag)
    return [int(number) for number in tiff.numbers(entry)] if entry is not None else []


def _contents(window: Window, pieces: _Pieces) -> Iterator[bytes]:
    """The strips or tiles, as long as they come to no more bytes than the file has."""
    left = window.size
    for start, length in pieces.places[:_MOST_PIECES]:
        left -= length
        if left < 0 or start + length > window.size:
            return
        if length:
            yield window.read(start, length)


def _is_bad_deflate(piece: bytes, pieces: _Pieces) -> bool:
    """Whether the checksum (RFC 1950) or the coding is wrong."""
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


def _is_bad_jpeg(piece: bytes, pieces: _Pieces) -> bool:
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


def _is_bad_pack_bits(piece: bytes, pieces: _Pieces) -> bool:
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


_CHECKS: dict[int, Callable[[bytes, _Pieces], bool]] = {
    _DEFLATE: _is_bad_deflate,
    _OLD_DEFLATE: _is_bad_deflate,
    _JPEG: _is_bad_jpeg,
    _PACK_BITS: _is_bad_pack_bits,
}
