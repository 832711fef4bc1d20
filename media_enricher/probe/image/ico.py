"""Windows icons and cursors: the largest picture in the directory. Pillow decodes as it opens."""

from __future__ import annotations

import struct
from typing import NamedTuple

from media_enricher.models import ErrorCode
from media_enricher.probe.image import png
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.source import UnreadableError, Window

_ENTRY = struct.Struct("<BBBBHHII")
_PNG_START = 33
"""Bytes of a PNG's signature and first chunk."""


class _Picture(NamedTuple):
    pixels: int
    bits: int
    width: int
    height: int
    offset: int


def read(window: Window, header: ImageHeader) -> None:
    """Read the directory, and of a picture that is a PNG, its own header."""
    count = int.from_bytes(window.read(4, 2), "little")
    directory = window.read(6, _ENTRY.size * count)
    pictures = [_picture(*fields) for fields in _ENTRY.iter_unpack(directory)]
    if not pictures:
        raise UnreadableError(ErrorCode.CORRUPT, "The icon's directory is empty.")
    largest = max(pictures)
    header.width, header.height = largest.width, largest.height
    header.mode, header.bit_depth, header.has_alpha = "RGBA", 8, True
    header.frame_count, header.is_animated = 1, False
    start = window.peek(largest.offset, _PNG_START)
    if start is not None and start.startswith(png.SIGNATURE):
        png.read_start(start[8:], header)
        if header.format == "cur":
            raise UnreadableError(
                ErrorCode.UNSUPPORTED_TYPE, "A cursor that holds a PNG, which nothing here decodes."
            )


def _picture(width: int, height: int, *rest: int) -> _Picture:
    width, height = width or 256, height or 256  # a byte holds no 256
    return _Picture(width * height, rest[3], width, height, rest[5])
