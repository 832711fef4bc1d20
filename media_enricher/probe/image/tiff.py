"""TIFF and BigTIFF (TIFF 6.0): size, depth and pages by the directories; Pillow decodes the pixels.

Reading the directories ourselves gives the size of what Pillow has no mode for, such as floating
point colours, and of raw files, which are built like a TIFF.
"""

from __future__ import annotations

import struct

from media_enricher.models import ErrorCode
from media_enricher.probe.image import raw
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.metadata.blocks import MAX_BLOCK
from media_enricher.probe.metadata.directories import MAX_DIRECTORIES, Directory, Tiff
from media_enricher.probe.source import MoreBytesError, UnreadableError, Window

WIDTH, HEIGHT, BITS, PHOTOMETRIC, ORIENTATION = 256, 257, 258, 262, 274
_SAMPLES, _EXTRA_SAMPLES, _SAMPLE_FORMAT, _ICC = 277, 338, 339, 34675
_WANTED = frozenset(
    {WIDTH, HEIGHT, BITS, PHOTOMETRIC, ORIENTATION, _SAMPLES, _EXTRA_SAMPLES, _SAMPLE_FORMAT, _ICC}
)
_FLOAT = 3
_ALPHA = frozenset({1, 2})
"""Values of ExtraSamples: alpha that is multiplied into the colours, and that is not."""
_GREY = frozenset({0, 1})
_COLOURS = {2: "RGB", 3: "P", 5: "CMYK", 6: "RGB", 8: "LAB", 9: "LAB", 10: "LAB", 34892: "RGB"}
_WITH_ALPHA = {"L": "LA", "P": "PA", "RGB": "RGBA"}

_VALUE_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_MAX_ENTRIES = 65_535
_MAX_NUMBERS = 250_000
"""In one value: the strips of a picture with as many rows."""
_OVERLAP = 1024 * 1024
"""Careless writers let small values share their bytes."""


def read(window: Window, header: ImageHeader) -> None:
    """Read the first directory, count the pages, and find out if it is a camera's raw file.

    Raises:
        UnreadableError: corrupt, truncated, or built in a way that Pillow does not decode.
        MoreBytesError: the directories lie outside of the window.
    """
    try:
        tiff = Tiff(window)
    except ValueError as refused:
        raise UnreadableError(ErrorCode.CORRUPT, str(refused)) from None
    _check_values(tiff)
    first = tiff.directory(tiff.first, _WANTED)
    header.width, header.height = tiff.number(first, WIDTH), tiff.number(first, HEIGHT)
    header.orientation = _orientation(tiff, first)
    header.is_turned_by_decoder = True
    _describe_samples(tiff, first, header)
    header.blocks.append(window)
    _count_pages(tiff, header)
    raw.read_directories(tiff, header)
    if not header.width or not header.height:
        header.width = header.height = None
        raise UnreadableError(
            ErrorCode.CORRUPT, f"The TIFF's directory at byte {tiff.first:,} names no size."
        )
    if header.preview is None and tiff.is_big and tiff.order == ">":
        raise UnreadableError(
            ErrorCode.UNSUPPORTED_TYPE, "A big-endian BigTIFF, which nothing here decodes."
        )


def _orientation(tiff: Tiff, first: Directory) -> int | None:
    value = tiff.number(first, ORIENTATION)
    return value if value is not None and 1 <= value <= 8 else None


def _describe_samples(tiff: Tiff, first: Directory, header: ImageHeader) -> None:
    """Depth, alpha and mode; a mode is Pillow's name for the arrangement of samples."""
    header.bit_depth = tiff.number(first, BITS) or 1
    photometric = tiff.number(first, PHOTOMETRIC)
    extra = tiff.number(first, _EXTRA_SAMPLES)
    header.has_alpha = extra in _ALPHA
    header.is_animated = False
    if photometric in _GREY:
        header.mode = _grey_mode(tiff, first, header.bit_depth)
    else:
        header.mode = _COLOURS.get(photometric or 0)
    if header.has_alpha and header.mode:
        header.mode = _WITH_ALPHA.get(header.mode, header.mode)
    entry = first.entries.get(_ICC)
    if entry is not None and entry.size <= MAX_BLOCK:
        try:
            header.icc = tiff.raw(entry)
        except MoreBytesError:
            if tiff.window.is_complete:
                raise


def _grey_mode(tiff: Tiff, first: Directory, depth: int) -> str:
    if (tiff.number(first, _SAMPLES) or 1) > 1:
        return "L"
    if depth == 1:
        return "1"
    if depth in {12, 16} and tiff.number(first, _SAMPLE_FORMAT) != _FLOAT:
        return "I;16B" if tiff.order == ">" else "I;16"
    if depth == 32:
        return "F" if tiff.number(first, _SAMPLE_FORMAT) == _FLOAT else "I"
    return "L"


def _count_pages(tiff: Tiff, header: ImageHeader) -> None:
    """Follow the chain of directories; the number stays unknown where it leaves the window.

    A file that was cut behind its first page counts the pages that are there, and says so.
    """
    seen: set[int] = set()
    at = tiff.first
    size = tiff.window.size
    entry_bytes, start_bytes = (20, 8) if tiff.is_big else (12, 2)
    count_of = struct.Struct(tiff.order + ("Q" if tiff.is_big else "H"))
    link = struct.Struct(tiff.order + ("Q" if tiff.is_big else "I"))
    while at and at not in seen and len(seen) < MAX_DIRECTORIES:
        if at + start_bytes > size:
            header.is_truncated = True
            break
        start = tiff.window.peek(at, start_bytes)
        after = at + start_bytes + entry_bytes * count_of.unpack(start)[0] if start else 0
        if start is not None and after > size:
            header.is_truncated = True
            break
        seen.add(at)
        if after + link.size > size:
            break
        following = tiff.window.peek(after, link.size) if start else None
        if following is None:
            return
        (at,) = link.unpack(following)
    header.frame_count = max(len(seen), 1)


def _check_values(tiff: Tiff) -> None:
    """Refuse a directory whose values overlap, or hold more numbers than any picture needs.

    Pillow copies each value as it opens the file, and makes an object of each number.
    """
    window, order = tiff.window, tiff.order
    (entries,) = window.unpack(struct.Struct(order + ("Q" if tiff.is_big else "H")), tiff.first)
    if entries > _MAX_ENTRIES:
        raise UnreadableError(
            ErrorCode.CORRUPT, f"The TIFF's directory says that it has {entries:,} entries."
        )
    layout = struct.Struct(order + ("HHQ8s" if tiff.is_big else "HHI4s"))
    inline = 8 if tiff.is_big else 4
    directory = window.read(tiff.first + (8 if tiff.is_big else 2), layout.size * entries)
    copied = 0
    for _, field_type, count, _ in layout.iter_unpack(directory):
        width = _VALUE_BYTES.get(field_type, 1)
        is_there = inline < width * count <= window.size
        copied += width * count if is_there else 0
        if (width > 1 and count > _MAX_NUMBERS and is_there) or copied > window.size + _OVERLAP:
            raise UnreadableError(
                ErrorCode.CORRUPT,
                f"The TIFF's directory names values of {copied:,} bytes in {window.size:,}.",
            )
