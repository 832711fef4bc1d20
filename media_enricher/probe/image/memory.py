"""What decoding would allocate, told before it starts: bytes by format and mode, not pixels.

A decoder holds more than the picture: planes and canvases of its own, a copy handed over, and the
conversions we make after. The figures are bytes a pixel at the peak, rounded up from what Pillow 13
and its libraries allocate. Peak resident memory of a whole process, measured just below a limit of
320 MiB (45 MB of it before the file is opened):

| format, mode | megapixels | MB |
| --- | --- | --- |
| PNG RGB | 80 | 350 |
| PNG RGBA | 36 | 319 |
| PNG I;16 | 30 | 245 |
| JPEG progressive, 4:2:0 | 95 | 323 |
| WebP | 15 | 274 |
| AVIF RGBA | 14 | 298 |
| JPEG 2000 RGBA | 8 | 372 |
| TIFF RGB | 40 | 312 |
| GIF | 60 | 331 |

What decoding alone adds to the peak of a process, for pictures of 12 megapixels, in bytes a pixel:

| format, mode | bytes a pixel |
| --- | --- |
| HEIC RGB | 7.5 |
| HEIC RGBA | 8.4 |
| JPEG XL RGB | 7.3 |
| JPEG XL RGBA | 8.3 |
"""

from __future__ import annotations

import re
from typing import Any

from PIL import Image

from media_enricher.models import ErrorCode
from media_enricher.probe.image import jpeg
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.source import Buffer, UnreadableError

MAX_DECODED_BYTES = 360 * 1024 * 1024
"""For one object. With Pillow, NumPy, the file's own bytes and the memory shared with the worker, a
decoder stays within 512 MB."""

_allocator: Any = Image.core  # type: ignore[attr-defined]  # documented as "Block allocator"
_KEPT_BLOCKS = 4
_MIB = 1024 * 1024
_KEPT_BYTES = _KEPT_BLOCKS * 16 * _MIB
_STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
"""Bytes of a pixel in Pillow's memory; all other modes take four."""
_TO_EIGHT_BITS = {"I": 28, "F": 28, "I;16": 8, "I;16B": 8, "I;16L": 8}
"""Of the copies that spread a deep grey to eight bits."""
_WHOLE = {
    "webp": 22,  # canvas twice, the lossless decoder's own, the bytes handed over, the picture
    "avif": 22,  # planes, their RGB, the bytes handed over, the picture
    "heic": 10,  # planes, their RGB, the bytes handed over, the picture
    "heif": 10,
    "jpeg2000": 40,  # 32-bit planes twice, the packed rows, the picture
    "jxl": 20,  # planes or coefficients, their RGB, the bytes handed over, the picture
    "icns": 40,  # may hold a JPEG 2000
    "cur": 18,
    "ico": 18,  # the picture, its mask, RGBA
}
_JPEG_BYTES = 8
"""What simplejpeg hands over, and Pillow's copy."""
_DEEPER = frozenset({"avif", "heic", "heif", "jxl"})
"""Formats whose planes take twice the bytes where they have more than eight bits."""
_TILE_WIDTH, _TILE_HEIGHT, _ROWS, _SAMPLES, _BITS = 322, 323, 278, 277, 258


def keep_blocks() -> None:
    """Have Pillow keep a little memory from one image to the next, in place of giving all back.

    For a process that looks at one object after the other. The kernel clears each page that it
    hands out, which was 3 ms of the 20 ms that a photograph takes, and is 1 with these blocks.
    """
    _allocator.set_blocks_max(_KEPT_BLOCKS)


def require_room(width: int, height: int, needed: float, what: str) -> None:
    """Refuse what takes more than `MAX_DECODED_BYTES`, and make room for the rest.

    Raises:
        UnreadableError: too many pixels.
    """
    if needed > MAX_DECODED_BYTES - _KEPT_BYTES:
        _allocator.clear_cache()
    if needed > MAX_DECODED_BYTES:
        raise UnreadableError(
            ErrorCode.TOO_MANY_PIXELS,
            f"Decoding {width:,} x {height:,} pixels ({what}) would take {needed / _MIB:,.0f} MB; "
            f"one object may take {MAX_DECODED_BYTES // _MIB} MB, whatever "
            "MEDIA_ENRICHER_MAX_PIXELS allows.",
        )


def before_opening(data: Buffer, header: ImageHeader) -> None:
    """Check the formats that decode, or make their canvas, as they are opened."""
    width, height = header.size_to_decode()
    if header.format in {"cur", "ico", "icns"}:
        width, height = max(
            [(width, height), *_inner_sizes(data)], key=lambda size: size[0] * size[1]
        )
    per_pixel = _WHOLE.get(header.format)
    if per_pixel:
        deep = 1.5 if header.format in _DEEPER and (header.bit_depth or 8) > 8 else 1
        require_room(width, height, width * height * per_pixel * deep, header.format)


def before_loading(image: Image.Image, header: ImageHeader) -> None:
    """Check what Pillow opened, whose mode and tiles are known now."""
    width, height = image.size
    needed = width * height * _bytes_a_pixel(image)
    if "tag_v2" in vars(image):
        needed += _tile_bytes(vars(image)["tag_v2"], width, height)
    require_room(width, height, needed, f"{header.format}, {image.mode}")


def before_jpeg(header: ImageHeader, scale: int) -> None:
    """Check a JPEG that is decoded at a part of its size; a progressive one is held as coefficients
    too.
    """
    width, height = header.width or 1, header.height or 1
    needed: float = -(-width // scale) * -(-height // scale) * _JPEG_BYTES
    if header.is_progressive:
        needed += width * height * 2 * jpeg.coefficients(header.jpeg_frame)
    require_room(width, height, needed, "jpeg, progressive" if header.is_progressive else "jpeg")


def _bytes_a_pixel(image: Image.Image) -> int:
    mode = image.mode
    stored = _STORED.get(mode, 4)
    has_colour_key = "transparency" in image.info
    if mode in _TO_EIGHT_BITS:
        return stored + _TO_EIGHT_BITS[mode]
    if mode in {"RGBA", "LA"}:
        return stored + 5  # its alpha, and the picture without
    if has_colour_key or mode in {"PA", "La", "RGBa"}:
        return stored + 4 + 5
    return stored if mode in {"L", "RGB", "CMYK"} else stored + 4


def _tile_bytes(tags: Any, width: int, height: int) -> int:
    """The buffer for one tile or strip, which may be far larger than the picture."""
    bits = tags.get(_BITS, (8,))
    samples = min(_number(tags.get(_SAMPLES), 1), 64)
    a_sample = max(_number(bits[0] if isinstance(bits, tuple) and bits else bits, 8), 8) // 8
    across = _number(tags.get(_TILE_WIDTH), 0)
    down = _number(tags.get(_TILE_HEIGHT), 0)
    if not across or not down:
        across, down = width, min(_number(tags.get(_ROWS), height), height)
    return across * down * samples * a_sample


def _number(value: object, default: int) -> int:
    return value if isinstance(value, int) and value > 0 else default


_PNG = re.compile(rb"\x89PNG\r\n\x1a\n.{4}IHDR(.{4})(.{4})", re.S)
_JPEG_2000 = re.compile(rb"ihdr(.{4})(.{4})|\xff\x4f\xff\x51.{4}(.{4})(.{4})", re.S)
_BITMAP = re.compile(rb"\x28\0\0\0(.{4})(.{4})\x01\0", re.S)


def _inner_sizes(data: Buffer) -> list[tuple[int, int]]:
    """The sizes of the pictures within an icon, which may exceed what its directory says."""
    sizes = []
    for found in _PNG.finditer(data):
        sizes.append((int.from_bytes(found[1], "big"), int.from_bytes(found[2], "big")))
    for found in _JPEG_2000.finditer(data):
        first, second = (found[1], found[2]) if found[1] else (found[3], found[4])
        sizes.append((int.from_bytes(first, "big"), int.from_bytes(second, "big")))
    for found in _BITMAP.finditer(data) if data[:4] in {b"\0\0\1\0", b"\0\0\2\0"} else ():
        width = abs(int.from_bytes(found[1], "little", signed=True))
        sizes.append((width, abs(int.from_bytes(found[2], "little", signed=True)) // 2))
    return sizes
