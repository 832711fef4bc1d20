"""What a decoder loads before it reads the first of a stranger's bytes, and then opens no file."""

from __future__ import annotations

import codecs
import io
import struct

import msgspec
from PIL import Image, ImageCms

from media_enricher.probe import ProbeOptions, document, probe_full, probe_header
from media_enricher.probe.av import poster
from media_enricher.probe.document import old_office
from media_enricher.probe.image import tiny


def preload() -> None:
    """Import and warm all that a probe may need later, for a process that then opens no file.

    A tiny picture of each format that Pillow writes goes through both depths, which loads plugins,
    codecs, encodings, time zones and NumPy's lazy parts; the texts cover the rest.
    """
    options = ProbeOptions(location=True, exif_tags=("Make",))
    pictures = [_tiny_picture(name, mode) for name, mode in _PRELOADED]
    for data in [*pictures, _tiny_icns(), tiny.HEIC, tiny.JXL, tiny.PSD, tiny.CURSOR]:
        probe_full(data, path="preload", declared_content_type=None, options=options)
        probe_header(
            data, size_bytes=len(data), path="preload", declared_content_type=None, options=options
        )
    for data in (b"<svg width='1' height='1'/>", b"PK\x03\x04", b"\xe9 text", b"{}"):
        probe_full(data, path="preload", declared_content_type=None, options=options)
    poster.preload()
    document.preload(msgspec.structs.replace(options, text_excerpt=True))
    for encoding in (*_PRELOADED_ENCODINGS, *old_office.ENCODINGS):
        codecs.decode(b"", encoding)
    codecs.decode(b"\x1b$B<L\x1b(B", "iso2022_jp")  # loads its table, too


def _tiny_picture(format_name: str, mode: str) -> bytes:
    camera = Image.Exif()
    camera[271], camera[306] = "Preload", "2020:01:01 00:00:00"
    file = io.BytesIO()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.new(mode, (16, 16))
    picture.save(file, format_name, exif=camera.tobytes(), xmp=_PRELOADED_XMP, icc_profile=profile)
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
    ("pcx", "RGB"),
    ("ppm", "RGB"),
    ("qoi", "RGB"),
    ("dds", "RGB"),
    ("tga", "RGB"),
)
_PRELOADED_ENCODINGS = (
    "ascii",
    "cp1252",
    "latin-1",
    "utf-8",
    "utf-16",
    "utf-16-be",
    "utf-16-le",
    "utf-32-be",
    "utf-32-le",
)
_PRELOADED_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:dc="http://purl.org/dc/elements/1.1/"/>'
)
