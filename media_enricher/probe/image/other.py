"""Formats left to Pillow whole: TIFF, BMP, ICNS, PSD, JPEG 2000, Netpbm, QOI and more."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from PIL import Image

from media_enricher.models import ErrorCode
from media_enricher.probe.image import memory, netpbm
from media_enricher.probe.image.decoders import open_image
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.metadata.blocks import MAX_BLOCK, MAX_BLOCKS_BYTES
from media_enricher.probe.source import UnreadableError, Window

_BITS = {"1": 1, "I;16": 16, "I;16B": 16, "I;16L": 16, "I": 32, "F": 32}
_WIDTH, _HEIGHT, _BITS_PER_SAMPLE, _ORIENTATION = 256, 257, 258, 274
_ICC = 34675
_ALPHA_MODES = {"RGBA", "LA", "PA", "RGBa", "La"}
_PSD_HEADER = 26
_MAX_BOXES = 1_000
_MAX_PAGES = 10_000
_VALUE_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_MAX_NUMBERS = 250_000
"""In one value: the strips of a picture with as many rows."""
_OVERLAP = 1024 * 1024
"""Careless writers let small values share their bytes."""


def read(window: Window, header: ImageHeader) -> None:
    """Open with Pillow; where it needs more of the file than is held, ask for it."""
    if header.format == "tiff":
        _require_directory(window)
        header.blocks.append(window)
    if header.format == "icns":
        memory.before_opening(window.data, header)
    if header.format == "ppm":
        netpbm.check(window.data)
    try:
        with open_image(header.format, window) as image:
            _describe(image, header)
            if header.format == "tiff":
                _describe_tiff(image, window, header)
            elif header.format == "psd":
                header.keep(_photoshop_resources(window))
            elif header.format == "jpeg2000":
                for block in _boxed_blocks(window):
                    header.keep(block)
    except UnreadableError:
        if window.is_complete:
            raise
        window.miss(min(window.size, 4 * window.held))


def _describe(image: Image.Image, header: ImageHeader) -> None:
    header.width, header.height = image.size
    header.mode = image.mode
    header.bit_depth = _BITS.get(image.mode, 8)
    header.has_alpha = image.mode in _ALPHA_MODES or "transparency" in image.info
    header.frame_count, header.is_animated = 1, False
    header.icc = _bytes(image.info.get("icc_profile"))


def _describe_tiff(image: Image.Image, window: Window, header: ImageHeader) -> None:
    tags = getattr(image, "tag_v2", {})
    header.width, header.height = tags.get(_WIDTH), tags.get(_HEIGHT)  # Pillow's may be turned
    header.orientation = _orientation(tags.get(_ORIENTATION))
    header.is_turned_by_decoder = True
    bits = tags.get(_BITS_PER_SAMPLE, (1,))
    header.bit_depth = int(bits[0]) if isinstance(bits, tuple) and bits else header.bit_depth
    header.icc = header.icc or _bytes(tags.get(_ICC))
    header.frame_count = _pages(window)


def _photoshop_resources(window: Window) -> bytes:
    """The image resources of a PSD, which stand behind its colour table."""
    layout = struct.Struct(">I")
    (colours,) = window.unpack(layout, _PSD_HEADER)
    at = _PSD_HEADER + 4 + colours
    (length,) = window.unpack(layout, at)
    return window.read(at + 4, min(length, MAX_BLOCKS_BYTES, window.size - at - 4))


def _boxed_blocks(window: Window) -> Iterator[bytes]:
    """What stands in a JPEG 2000's boxes `uuid` (EXIF, IPTC, XMP), `xml ` and `jumb`."""
    at = 0
    for _ in range(_MAX_BOXES):
        if at + 8 > window.size:
            return
        length, name = struct.unpack(">I4s", window.read(at, 8))
        start = at + 8
        if length == 1 and at + 16 <= window.size:
            length, start = int.from_bytes(window.read(at + 8, 8), "big"), at + 16
        end = window.size if length == 0 else at + length
        if end < start or end > window.size:
            return
        if name == b"uuid" and 16 < end - start <= MAX_BLOCK:
            yield window.read(start + 16, end - start - 16)
        elif name in {b"xml ", b"jumb"} and end - start <= MAX_BLOCK:
            yield window.read(
                at if name == b"jumb" else start, end - (at if name == b"jumb" else start)
            )
        at = end


def _orientation(value: object) -> int | None:
    return value if isinstance(value, int) and 1 <= value <= 8 else None


def _bytes(value: object) -> bytes | None:
    return value if isinstance(value, bytes) else None


def _require_directory(window: Window) -> None:
    """Ask for the first directory, which many TIFFs keep behind their pixels."""
    order = "<" if window.read(0, 2) == b"II" else ">"
    is_big = window.unpack(struct.Struct(f"{order}H"), 2)[0] == 43
    (at,) = window.unpack(struct.Struct(f"{order}{'Q' if is_big else 'I'}"), 8 if is_big else 4)
    if is_big:
        window.read(at, 8)
    else:
        (entries,) = window.unpack(struct.Struct(f"{order}H"), at)
        _check_values(window.read(at + 2, 12 * entries), order, window.size)


def _check_values(directory: bytes, order: str, size: int) -> None:
    """Refuse a directory whose values overlap, or hold more numbers than any picture needs.

    Pillow copies each value as it opens the file, and makes an object of each number.
    """
    copied = 0
    for _, field_type, count, _ in struct.iter_unpack(f"{order}HHII", directory):
        width = _VALUE_BYTES.get(field_type, 1)
        copied += width * count if width * count > 4 and width * count <= size else 0
        if (width > 1 and count > _MAX_NUMBERS and width * count <= size) or (
            copied > size + _OVERLAP
        ):
            raise UnreadableError(
                ErrorCode.CORRUPT,
                f"The TIFF's directory names values of {copied:,} bytes in {size:,}.",
            )


def _pages(window: Window) -> int | None:
    """The length of the chain of directories; None where it leaves the window."""
    order = "<" if window.read(0, 2) == b"II" else ">"
    if window.unpack(struct.Struct(f"{order}H"), 2)[0] == 43:
        return None
    number, offset = struct.Struct(f"{order}H"), struct.Struct(f"{order}I")
    seen: set[int] = set()
    (at,) = offset.unpack_from(window.data, 4)
    while at and at not in seen and len(seen) < _MAX_PAGES:
        if at + 2 > window.held:
            return None if not window.is_complete else max(len(seen), 1)
        seen.add(at)
        after = at + 2 + 12 * number.unpack_from(window.data, at)[0]
        if after + 4 > window.held:
            return None if not window.is_complete else len(seen)
        (at,) = offset.unpack_from(window.data, after)
    return len(seen)
