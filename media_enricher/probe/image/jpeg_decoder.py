"""A JPEG's pixels, and whether they are damaged.

simplejpeg stops at the first warning of libjpeg-turbo, which Pillow passes over. Of sound files the
pixels are the same, in a little less time. What simplejpeg does not take, Pillow decodes.

One rule holds for every kind of JPEG: where all of its scans are complete it is sound, though the
end marker may be missing; where a scan is cut it is truncated; where a scan can be decoded and
holds what no encoder wrote, the picture shows and is damaged.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from media_enricher.models import ErrorCode
from media_enricher.probe.image import jpeg, jpeg_scans, memory
from media_enricher.probe.image.decoders import open_image, refusals
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.source import Buffer, UnreadableError

_COARSE = 8
_MOST_WHOLE_PIXELS = 1_500_000
"""Progressive JPEGs with more are decoded by their coarse scans alone, at 40% of the time."""
_COLOUR_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
_END_MARKER = bytes((0xFF, jpeg.END))

_NO_END = "Premature end of JPEG file"
_DAMAGE = re.compile(r"Corrupt JPEG data: (?!bad ICC)|Inconsistent progression|Invalid SOS")
_AMID_SEGMENTS = re.compile(r"extraneous bytes before marker 0x(?:c[0-24-79-f]|d[bd]|e|fe)")
"""libjpeg's words (jerror.h). The last is about bytes between segments, not about pixels."""


class JpegPixels(NamedTuple):
    """A picture in the mode L, RGB or CMYK."""

    image: Image.Image
    is_damaged: bool


def decode(data: Buffer, header: ImageHeader, *, scale: int) -> JpegPixels:
    """Decode at 1, 1/2, 1/4 or 1/8 of the size.

    Args:
        data: the whole file.
        header: of this file.
        scale: how much smaller.

    Raises:
        UnreadableError: truncated, corrupt, or too large to be decoded in the memory there is.
    """
    memory.before_jpeg(header, scale)
    is_damaged = False
    if header.is_progressive:
        scans = jpeg_scans.read_scans(data)
        if not (scans.has_end or scans.is_complete):
            raise _truncated(data)
        is_damaged = scans.is_damaged
        is_large = (header.width or 0) * (header.height or 0) > _MOST_WHOLE_PIXELS
        if scale == _COARSE and (is_large or is_damaged):
            data = jpeg_scans.coarse(data, scans) or data
    image, warning = _strictly(data, header, scale)
    if image is None and _AMID_SEGMENTS.search(warning):
        image, warning = _strictly(jpeg.cleaned_start(data), header, scale)
    if image is None and _NO_END in warning:
        image, warning = _strictly(bytes(data) + _END_MARKER, header, scale)
    if image is None:
        image = _by_pillow(data, scale)
        is_damaged = is_damaged or _DAMAGE.search(warning) is not None
    return JpegPixels(image, is_damaged)


def is_warned_of(data: Buffer, header: ImageHeader) -> bool:
    """Whether libjpeg-turbo warns of damage in a JPEG, such as a tile within another format.

    Args:
        data: the whole JPEG.
        header: of this JPEG.
    """
    image, warning = _strictly(data, header, _COARSE)
    return image is None and (_DAMAGE.search(warning) is not None or _NO_END in warning)


def _strictly(data: Buffer, header: ImageHeader, scale: int) -> tuple[Image.Image | None, str]:
    """The picture, or the first warning or error of libjpeg-turbo."""
    mode = header.mode or "RGB"
    try:
        pixels = simplejpeg.decode_jpeg(
            data,
            colorspace=_COLOUR_SPACES[mode],
            min_width=-(-(header.width or 1) // scale),
            min_height=-(-(header.height or 1) // scale),
            min_factor=1,
            strict=True,
        )
    except (ValueError, MemoryError) as warning:
        return None, str(warning)
    if mode == "CMYK":  # Adobe's are stored inverted, and so are nearly all others
        return Image.frombytes(mode, pixels.shape[1::-1], np.invert(pixels).tobytes()), ""
    return Image.fromarray(pixels[..., 0] if mode == "L" else pixels), ""


def _by_pillow(data: Buffer, scale: int) -> Image.Image:
    """The picture as far as libjpeg-turbo makes one; it refuses one of which a scan is cut."""
    image = open_image("jpeg", data)
    with refusals("jpeg"):
        image.draft(None, (max(image.width // scale, 1), max(image.height // scale, 1)))
        image.load()
    return image


def _truncated(data: Buffer) -> UnreadableError:
    return UnreadableError(
        ErrorCode.TRUNCATED, f"The JPEG ends at byte {len(data):,}, amid its scans."
    )
