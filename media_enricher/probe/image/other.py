"""Formats left to Pillow whole: TIFF, BMP, ICNS, PSD, JPEG 2000, Netpbm, QOI and more."""

from __future__ import annotations

import struct

from PIL import Image

from media_enricher.probe.image.decoders import open_image
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.source import MoreBytesError, UnreadableError, Window

_BITS = {"1": 1, "I;16": 16, "I;16B": 16, "I;16L": 16, "I": 32, "F": 32}
_WIDTH, _HEIGHT, _BITS_PER_SAMPLE, _ORIENTATION = 256, 257, 258, 274
_ICC, _IPTC, _XMP = 34675, 33723, 700
_ALPHA_MODES = {"RGBA", "LA", "PA", "RGBa", "La"}
_MAX_PAGES = 10_000


def read(window: Window, header: ImageHeader) -> None:
    """Open with Pillow; where it needs more of the file than is held, ask for it."""
    if header.format == "tiff":
        _require_directory(window)
    try:
        with open_image(header.format, window.data) as image:
            _describe(image, header)
            if header.format == "tiff":
                _describe_tiff(image, window, header)
    except UnreadableError:
        if window.is_complete:
            raise
        raise MoreBytesError(min(window.size, 4 * window.held)) from None


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
    header.xmp = _bytes(tags.get(_XMP))
    header.iptc = _bytes(tags.get(_IPTC))
    header.exif = memoryview(window.data)
    header.frame_count = _pages(window)


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
        window.read(at + 2, 12 * entries)


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
