"""Size and depth by the first bytes of formats that Pillow reads in part: BMP, JPEG 2000 and more.

What Pillow refuses, such as a PSD of 16 bits, has its size all the same.
"""

from __future__ import annotations

import re
import struct

from media_enricher.models import ErrorCode
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.source import UnreadableError, Window

_BMP_CORE = 12
"""Bytes of the header of OS/2 1.x, whose sizes take two bytes each."""
_MOST_SIDE = 2**31

_PSD = struct.Struct(">4sH6xHIIHH")
_PSD_MODES = {0: "1", 1: "L", 2: "P", 3: "RGB", 4: "CMYK", 7: "L", 8: "L", 9: "LAB"}
"""Colour mode of the file -> Pillow's."""
_PSD_COLOURS = {"RGB": 3, "CMYK": 4, "LAB": 3}
_PSD_DEPTHS = {1, 8}

_PCX = struct.Struct("<BBBBHHHH48xxBHH")

_JPEG_2000_SIZE = re.compile(rb"\0\0\0\x16ihdr(.{8})|\xff\x4f\xff\x51.{4}(.{16})", re.S)
_JPEG_2000_START = 4096
_EXR_START = 8
_EXR_MAX_ATTRIBUTES = 1_000
_EXR_MAX_NAME = 256
_EXR_DEPTHS = {0: 32, 1: 16, 2: 32}
"""Pixel type -> bits: unsigned, half, float."""
_EXR_MAX_VALUE = 1024 * 1024
_EXR_WINDOW = struct.Struct("<iiii")
_EXR_CHANNEL_BYTES = 16


def read_bmp(window: Window, header: ImageHeader) -> None:
    """Read BITMAPFILEHEADER and the start of BITMAPINFOHEADER or of its relatives."""
    length = int.from_bytes(window.read(14, 4), "little")
    if length == _BMP_CORE:
        width, height = window.unpack(struct.Struct("<HH"), 18)
    else:
        width, height = window.unpack(struct.Struct("<ii"), 18)
    _set_size(header, width, abs(height), "BMP")


def read_psd(window: Window, header: ImageHeader) -> None:
    """Read the header of a PSD or PSB (Adobe Photoshop File Formats, "File Header")."""
    _, _, channels, height, width, depth, mode_number = window.unpack(_PSD, 0)
    _set_size(header, width, height, "PSD")
    mode = _PSD_MODES.get(mode_number)
    header.bit_depth = depth
    header.has_alpha = mode == "RGB" and channels > _PSD_COLOURS["RGB"]
    header.mode = "RGBA" if header.has_alpha else mode
    header.frame_count, header.is_animated = 1, False


def require_decodable_psd(window: Window) -> None:
    """Refuse what Pillow has no mode for.

    Raises:
        UnreadableError: unsupported.
    """
    _, version, _, _, _, depth, mode = window.unpack(_PSD, 0)
    if version != 1 or depth not in _PSD_DEPTHS or mode not in _PSD_MODES:
        kind = "PSB" if version != 1 else "PSD"
        raise UnreadableError(
            ErrorCode.UNSUPPORTED_TYPE,
            f"A {kind} of {depth} bits in colour mode {mode}, which nothing here decodes.",
        )


def read_jpeg_2000(window: Window, header: ImageHeader) -> None:
    """Read the size in the box `ihdr` (ISO/IEC 15444-1, I.5.3.1), or of a bare codestream (A.5.1).

    It is looked for at the start alone, for Pillow reads the rest.
    """
    found = _JPEG_2000_SIZE.search(window.data, 0, _JPEG_2000_START)
    if found is None:
        return
    if found[1]:
        height, width = struct.unpack(">II", found[1])
    else:
        right, bottom, left, top = struct.unpack(">IIII", found[2])
        width, height = right - left, bottom - top
    if 0 < width < _MOST_SIDE and 0 < height < _MOST_SIDE:
        header.width, header.height = width, height


def read_pcx(window: Window, header: ImageHeader) -> None:
    """Read the header of PCX (ZSoft, technical reference manual, revision 5)."""
    _, _, _, depth, left, top, right, bottom, planes, _, _ = window.unpack(_PCX, 0)
    _set_size(header, right - left + 1, bottom - top + 1, "PCX")
    header.bit_depth = 8 if depth * planes > 1 else 1
    header.has_alpha, header.frame_count, header.is_animated = False, 1, False
    header.mode = "RGB" if planes == 3 and depth == 8 else "P"


def read_exr(window: Window, header: ImageHeader) -> None:
    """Read the attributes of an OpenEXR file's first part (OpenEXR File Layout)."""
    at = _EXR_START
    header.has_alpha, header.frame_count, header.is_animated = False, 1, False
    windows: dict[bytes, tuple[int, ...]] = {}
    for _ in range(_EXR_MAX_ATTRIBUTES):
        name, at = _exr_name(window, at)
        if not name:
            break
        _, at = _exr_name(window, at)
        (size,) = window.unpack(struct.Struct("<I"), at)
        at += 4
        if name in {b"dataWindow", b"displayWindow"} and size == _EXR_WINDOW.size:
            windows.setdefault(name, window.unpack(_EXR_WINDOW, at))
        elif name == b"channels" and size <= _EXR_MAX_VALUE:
            _exr_channels(window.read(at, size), header)
        at += size
        if at > window.size:
            raise UnreadableError(
                ErrorCode.TRUNCATED,
                f"The file ends at byte {window.size:,}, and its header goes on to byte {at:,}.",
            )
    pixels = windows.get(b"dataWindow") or windows.get(b"displayWindow")
    if pixels is None:
        raise UnreadableError(ErrorCode.CORRUPT, "The OpenEXR file says no size.")
    left, top, right, bottom = pixels
    _set_size(header, right - left + 1, bottom - top + 1, "OpenEXR")


def _exr_name(window: Window, at: int) -> tuple[bytes, int]:
    """A text that ends with NUL, and what follows it."""
    start = window.read(at, min(_EXR_MAX_NAME, max(window.size - at, 1)))
    name, end, _ = start.partition(b"\0")
    if not end:
        raise UnreadableError(ErrorCode.CORRUPT, f"The OpenEXR name at byte {at:,} has no end.")
    return name, at + len(name) + 1


def _exr_channels(content: bytes, header: ImageHeader) -> None:
    """The list of channels: each a name, and its pixel type first of sixteen bytes."""
    names, at = set(), 0
    while at < len(content) and content[at]:
        end = content.find(b"\0", at)
        if end < 0 or end + 1 + _EXR_CHANNEL_BYTES > len(content):
            break
        names.add(content[at:end])
        pixel_type = int.from_bytes(content[end + 1 : end + 5], "little")
        header.bit_depth = max(header.bit_depth or 0, _EXR_DEPTHS.get(pixel_type, 0)) or None
        at = end + 1 + _EXR_CHANNEL_BYTES
    header.has_alpha = b"A" in names
    colours = "L" if b"Y" in names and b"RY" not in names else "RGB"
    header.mode = f"{colours}A" if header.has_alpha else colours


def _set_size(header: ImageHeader, width: int, height: int, name: str) -> None:
    if not 0 < width < _MOST_SIDE or not 0 < height < _MOST_SIDE:
        raise UnreadableError(ErrorCode.CORRUPT, f"The {name} says {width}x{height} pixels.")
    header.width, header.height = width, height
