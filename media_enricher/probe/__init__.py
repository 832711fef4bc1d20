"""The probe: bytes of an object in, its metadata out. Pure, thread-safe, and it never raises.

`probe_header` takes the first bytes and decodes no pixels; `probe_full` takes them all. Either
finds the true type by the bytes (`sniff`) and hands over to the probe of that kind (`image`; the
next kind is one more folder beside it, and a branch in `_probe_kind`). Files that can't be read end
in a named `error_code` with whatever was found before.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import logging
import struct
from collections.abc import Callable

import msgspec
from PIL import Image

from media_enricher.models import AssetStatus, ErrorCode, Findings, Kind
from media_enricher.probe import image
from media_enricher.probe.content_types import (
    kind_of,
    normalised,
    promised_image_type,
)
from media_enricher.probe.image.memory import keep_blocks
from media_enricher.probe.sniff import sniff
from media_enricher.probe.source import (
    Buffer,
    MoreBytesError,
    ProbeOptions,
    Window,
)

__all__ = [
    "NeedMoreBytes",
    "ProbeOptions",
    "first_range",
    "keep_blocks",
    "preload",
    "probe_full",
    "probe_header",
]

_SNIFFED_BYTES = 4096
_LEAST_SNIFFED_BYTES = 512
_KIB = 1024

_FIRST_RANGES = {
    "image/jpeg": 64 * _KIB,  # EXIF with its thumbnail, ICC and XMP stand before the size
    "image/tiff": 64 * _KIB,
    "image/svg+xml": 16 * _KIB,
}
_FIRST_RANGE = 16 * _KIB

logger = logging.getLogger(__name__)


class NeedMoreBytes(msgspec.Struct, frozen=True):
    """The header goes on behind the bytes given: ask again with a larger first range."""

    first_bytes: int


def first_range(path: str, declared_content_type: str | None) -> int:
    """How many bytes to read first in header depth: enough for most files of the promised type."""
    promised = promised_image_type(path, declared_content_type)
    return _FIRST_RANGES.get(promised or "", _FIRST_RANGE)


def probe_header(
    data: Buffer,
    *,
    size_bytes: int,
    path: str,
    declared_content_type: str | None,
    options: ProbeOptions,
) -> Findings | NeedMoreBytes:
    """What the first bytes of an object say.

    Args:
        data: the first `len(data)` bytes.
        size_bytes: of the whole object.
        path: the object's name, of which only the extension matters.
        declared_content_type: as Storage has it.
        options: what to keep, and the limits.

    Returns:
        Findings, or how many bytes from the start are needed to know size and orientation. With
        the whole object in hand it never asks.
    """
    window = Window(data, size_bytes)
    try:
        return _probe(window, path, declared_content_type, options, image.probe_header)
    except MoreBytesError as more:
        return NeedMoreBytes(more.first_bytes)


def probe_full(
    data: Buffer, *, path: str, declared_content_type: str | None, options: ProbeOptions
) -> Findings:
    """What all the bytes of an object say, the pixels of an image and the hash included."""
    window = Window(data, len(data))
    findings = _probe(window, path, declared_content_type, options, image.probe_full)
    if window.size:
        findings.sha256 = hashlib.sha256(data).hexdigest()
    return findings


_ImageProbe = Callable[[Window, str, ProbeOptions], Findings]


def _probe(
    window: Window,
    path: str,
    declared_content_type: str | None,
    options: ProbeOptions,
    probe_image: _ImageProbe,
) -> Findings:
    try:
        return _probe_kind(window, path, declared_content_type, options, probe_image)
    except MoreBytesError:
        raise
    except Exception as crash:
        # A mistake of ours must cost one row, not the batch it came in; the row tells of it.
        logger.exception("The probe crashed on %s", path)
        return Findings(
            status=AssetStatus.FAILED,
            error_code=ErrorCode.PROBE_CRASHED,
            error_message=f"The probe crashed with {type(crash).__name__}; please report this.",
        )


def _probe_kind(
    window: Window,
    path: str,
    declared_content_type: str | None,
    options: ProbeOptions,
    probe_image: _ImageProbe,
) -> Findings:
    if not window.size:
        return Findings(
            status=AssetStatus.FAILED,
            error_code=ErrorCode.EMPTY,
            error_message="The object has no bytes.",
            kind=kind_of(normalised(declared_content_type)),
        )
    window.read(0, min(window.size, _LEAST_SNIFFED_BYTES))
    head = bytes(window.data[:_SNIFFED_BYTES])
    content_type = sniff(head, path, declared_content_type)
    if content_type and image.supports(content_type):
        return probe_image(window, content_type, options)
    return _without_probe(content_type, path, declared_content_type)


def _without_probe(
    content_type: str | None, path: str, declared_content_type: str | None
) -> Findings:
    """A type that has no probe yet, or that is not what it was said to be."""
    kind = kind_of(content_type)
    declared = normalised(declared_content_type)
    promised = promised_image_type(path, declared_content_type)
    is_honest = declared is not None and content_type == declared
    can_tell = content_type is not None or (promised is not None and image.supports(promised))
    if kind is not Kind.IMAGE and promised and not is_honest and can_tell:
        return Findings(
            status=AssetStatus.FAILED,
            error_code=ErrorCode.MISLABELLED,
            error_message=(
                f"Declared or named as {promised}, and by its bytes "
                f"{content_type or 'no image that is known'}."
            ),
            kind=kind,
            content_type=content_type,
        )
    known = content_type or (promised if promised else declared)
    return Findings(
        status=AssetStatus.UNSUPPORTED,
        error_code=ErrorCode.UNSUPPORTED_TYPE,
        error_message=f"There is no probe for {known or 'this type'} yet.",
        kind=kind_of(known),
        content_type=content_type,
    )


def preload() -> None:
    """Import and warm all that a probe may need later, for a process that then opens no file.

    A tiny picture of each format that Pillow writes goes through both depths, which loads plugins,
    codecs, encodings, time zones and NumPy's lazy parts; the texts cover the rest.
    """
    options = ProbeOptions(location=True, exif_tags=("Make",))
    pictures = [_tiny_picture(name, mode) for name, mode in _PRELOADED]
    for data in [*pictures, _tiny_icns()]:
        probe_full(data, path="preload", declared_content_type=None, options=options)
        probe_header(
            data, size_bytes=len(data), path="preload", declared_content_type=None, options=options
        )
    for data in (b"<svg width='1' height='1'/>", b"%PDF-1.4", b"PK\x03\x04", b"\xe9 text", b"{}"):
        probe_full(data, path="preload", declared_content_type=None, options=options)
    for encoding in ("ascii", "cp1252", "latin-1", "utf-8", "utf-16", "utf-16-be", "utf-16-le"):
        codecs.lookup(encoding)


def _tiny_picture(format_name: str, mode: str) -> bytes:
    camera = Image.Exif()
    camera[271], camera[306] = "Preload", "2020:01:01 00:00:00"
    file = io.BytesIO()
    Image.new(mode, (16, 16)).save(file, format_name, exif=camera.tobytes(), xmp=_PRELOADED_XMP)
    return file.getvalue()


def _tiny_icns() -> bytes:
    """An icon with a PNG of 16 x 16 alone; Pillow would write one of 1024 x 1024, in 36 ms."""
    png = _tiny_picture("png", "RGBA")
    length = struct.Struct(">I").pack
    return b"icns" + length(16 + len(png)) + b"icp4" + length(8 + len(png)) + png


_PRELOADED = (
    ("jpeg", "RGB"),
    ("jpeg", "CMYK"),
    ("png", "P"),
    ("png", "I;16"),
    ("webp", "RGBA"),
    ("avif", "RGBA"),
    ("gif", "P"),
    ("tiff", "F"),
    ("bmp", "RGB"),
    ("ico", "RGBA"),
    ("jpeg2000", "RGB"),
    ("ppm", "RGB"),
    ("qoi", "RGB"),
    ("dds", "RGB"),
    ("tga", "RGB"),
)
_PRELOADED_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:dc="http://purl.org/dc/elements/1.1/"/>'
)
