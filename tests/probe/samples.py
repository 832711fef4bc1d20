"""Pictures to probe, saved by Pillow, and the probe with the options most tests want."""

from __future__ import annotations

import io
from functools import lru_cache
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np
from PIL import Image

from media_enricher.models import Findings
from media_enricher.probe import ProbeOptions, first_range, probe_full, probe_header
from media_enricher.probe.parts import Parts
from media_enricher.settings import DEFAULT_EXIF_TAGS

OPTIONS = ProbeOptions(max_pixels=100_000_000, location=False, exif_tags=DEFAULT_EXIF_TAGS)

MIME = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "avif": "image/avif",
    "gif": "image/gif",
    "tiff": "image/tiff",
    "bmp": "image/bmp",
    "ico": "image/x-icon",
    "jpeg2000": "image/jp2",
    "qoi": "image/qoi",
    "ppm": "image/x-portable-pixmap",
    "tga": "image/x-tga",
}


def photograph(width: int = 480, height: int = 320, *, seed: int = 7) -> Image.Image:
    """Something with the smoothness, edges and grain of a photograph, the same every time."""
    return _photograph(width, height, seed).copy()


@lru_cache(maxsize=16)
def _photograph(width: int, height: int, seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(smooth).astype(np.int16) + random.normal(0, 5, (height, width, 3)).astype(
        np.int16
    )
    pixels[height // 4 : height // 2, width // 3 : width // 2] = (200, 30, 40)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def saved(image: Image.Image, image_format: str, **how: Any) -> bytes:
    """The bytes of a file of this format; made once for the same pixels and options."""
    is_plain = image.mode in ("L", "RGB", "RGBA") and not image.info and not image.getexif()
    if not is_plain or not all(isinstance(value, str | int) for value in how.values()):
        return _saved(image, image_format, how)
    key = (image.mode, image.size, sha256(image.tobytes()).digest(), image_format, str(how))
    if key not in _FILES:
        _FILES[key] = _saved(image, image_format, how)
    return _FILES[key]


_FILES: dict[object, bytes] = {}


_QUICKLY: dict[str, dict[str, Any]] = {"avif": {"speed": 10}, "png": {"compress_level": 1}}
"""How formats are written where a test does not say: as soon as possible, if not small."""


def _saved(image: Image.Image, image_format: str, how: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    is_large = image.width * image.height > 500_000
    if image_format.lower() == "gif" and image.mode == "RGB" and is_large:
        image = image.quantize(method=Image.Quantize.FASTOCTREE)  # Pillow's own choice takes 1 s
    image.save(file, image_format, **_QUICKLY.get(image_format.lower(), {}) | how)
    return file.getvalue()


def full(
    data: bytes,
    path: str = "file",
    declared: str | None = None,
    options: ProbeOptions = OPTIONS,
) -> Findings:
    """Probe in full depth; what comes back must be JSON."""
    findings = probe_full(data, path=path, declared_content_type=declared, options=options)
    assert isinstance(findings, Findings)
    assert msgspec.json.decode(msgspec.json.encode(findings), type=Findings) == findings
    return findings


def header(
    data: bytes,
    path: str = "file",
    declared: str | None = None,
    options: ProbeOptions = OPTIONS,
    *,
    first: int | None = None,
) -> tuple[Findings, int]:
    """Probe in header depth, reading on as asked; the findings, and how many bytes it took."""
    parts = Parts(data[: first or first_range(path, declared)])
    while True:
        found = probe_header(
            parts.first,
            size_bytes=len(data),
            path=path,
            declared_content_type=declared,
            options=options,
            rest=parts.rest,
        )
        if isinstance(found, Findings):
            return found, parts.length
        missing = parts.missing(found.ranges)
        assert missing, "it asks for what it has"
        for each in missing:
            assert each.stop <= len(data), "it asks for what is not there"
            parts.add(each.start, data[each.start : each.stop])
