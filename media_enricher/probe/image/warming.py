"""Trying every decoder once, so that whatever it imports or opens is here before it is needed."""

from __future__ import annotations

import io
from collections.abc import Iterator

from PIL import Image

_MODES = {
    "AVIF": ("RGB", "RGBA"),
    "BMP": ("RGB",),
    "DDS": ("RGBA",),
    "GIF": ("P",),
    "ICNS": ("RGBA",),
    "ICO": ("RGBA",),
    "JPEG": ("RGB", "L", "CMYK"),
    "JPEG2000": ("RGB",),
    "PNG": ("RGB", "RGBA", "P", "L", "LA", "I;16", "1"),
    "PPM": ("RGB",),
    "QOI": ("RGB",),
    "TGA": ("RGB",),
    "TIFF": ("RGB", "CMYK", "F", "I;16"),
    "WEBP": ("RGB", "RGBA"),
}
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="3" height="2"><title>a</title></svg>'
_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF'
    b' xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><r:Description'
    b' xmlns:d="http://purl.org/dc/elements/1.1/"><d:subject><r:Bag><r:li>a</r:li></r:Bag>'
    b"</d:subject></r:Description></r:RDF></x:xmpmeta>"
)


def samples() -> Iterator[bytes]:
    """Small images of each format and mode, with EXIF and XMP where the format takes them."""
    exif = Image.Exif()
    exif[0x010F], exif[0x9003] = "Acme", "2020:02:03 04:05:06"
    for name, modes in _MODES.items():
        for mode in modes:
            file = io.BytesIO()
            described = {"exif": exif, "xmp": _XMP} if name in {"JPEG", "WEBP", "PNG"} else {}
            Image.new(mode, (32, 32)).save(file, name, **described)
            yield file.getvalue()
    yield _SVG
