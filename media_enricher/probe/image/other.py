"""Formats left to Pillow: BMP, ICNS, PSD, PCX, JPEG 2000, Netpbm, QOI and more."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from PIL import Image

from media_enricher.models import ErrorCode
from media_enricher.probe.image import memory, netpbm, sizes
from media_enricher.probe.image.decoders import open_image
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.metadata.blocks import MAX_BLOCK, MAX_BLOCKS_BYTES
from media_enricher.probe.source import UnreadableError, Window

_BITS = {"1": 1, "I;16": 16, "I;16B": 16, "I;16L": 16, "I": 32, "F": 32}
_ALPHA_MODES = {"RGBA", "LA", "PA", "RGBa", "La"}
_PSD_HEADER = 26
_MAX_BOXES = 1_000
_SIZES = {
    "bmp": sizes.read_bmp,
    "jpeg2000": sizes.read_jpeg_2000,
    "pcx": sizes.read_pcx,
    "ppm": netpbm.read,
}
"""Format -> what reads its size even where Pillow refuses the rest."""


def read(window: Window, header: ImageHeader) -> None:
    """Open with Pillow; where it needs more of the file than is held, ask for it."""
    if header.format == "icns":
        memory.before_opening(window.data, header)
    if header.format == "psd":
        _read_psd(window, header)
    elif header.format in _SIZES:
        _SIZES[header.format](window, header)
    if header.format == "jpeg2000" and window.is_complete:  # before Pillow may refuse the file
        _keep_boxed_blocks(window, header)
    try:
        with open_image(header.format, window) as image:
            _describe(image, header)
            if header.format == "jpeg2000" and not window.is_complete:
                _keep_boxed_blocks(window, header)
    except UnreadableError as refused:
        if window.is_complete or refused.code is ErrorCode.UNSUPPORTED_TYPE:
            raise
        window.miss(min(window.size, 4 * window.held))


def _read_psd(window: Window, header: ImageHeader) -> None:
    """Size and metadata. What is wrong with one of them leaves the other."""
    try:
        sizes.read_psd(window, header)
    finally:
        header.keep(_photoshop_resources(window))
    sizes.require_decodable_psd(window)


def _describe(image: Image.Image, header: ImageHeader) -> None:
    header.width, header.height = image.size
    header.mode = image.mode
    header.bit_depth = max(_BITS.get(image.mode, 8), header.bit_depth or 0)
    header.has_alpha = image.mode in _ALPHA_MODES or "transparency" in image.info
    header.frame_count, header.is_animated = 1, False
    header.icc = _bytes(image.info.get("icc_profile"))


def _photoshop_resources(window: Window) -> bytes:
    """The image resources of a PSD, which stand behind its colour table."""
    layout = struct.Struct(">I")
    (colours,) = window.unpack(layout, _PSD_HEADER)
    at = _PSD_HEADER + 4 + colours
    (length,) = window.unpack(layout, at)
    return window.read(at + 4, min(length, MAX_BLOCKS_BYTES, window.size - at - 4))


def _keep_boxed_blocks(window: Window, header: ImageHeader) -> None:
    for block in _boxed_blocks(window):
        header.keep(block)


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


def _bytes(value: object) -> bytes | None:
    return value if isinstance(value, bytes) else None
