"""A WebP's pixels, no finer than needed, and whether they are damaged.

A still picture is decoded once: libwebp averages it to a small size as it goes, and tells on the
way whether the stream was needed up to its end (see `webp_damage`). An animation, and what libwebp
refuses, is left to Pillow.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from media_enricher.probe.image import libwebp, webp, webp_damage
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.source import Buffer, Window


class WebpPixels(NamedTuple):
    """A picture in the mode RGB or RGBA."""

    image: Image.Image
    is_damaged: bool


def decode(data: Buffer, header: ImageHeader, *, side: int) -> WebpPixels | None:
    """Decode a still picture by libwebp itself.

    Args:
        data: the whole file.
        header: of this file.
        side: the longest side that is needed, in pixels. The result has at least as much, or the
            picture's own size. One with alpha is not made smaller: each of its pixels counts.

    Returns:
        None where Pillow has to decode it.
    """
    picture = webp.first_picture(Window(data))
    width, height = header.size_to_decode()
    if picture is None or picture.end > len(data) or not width or not height:
        return None
    factor = 1 if header.has_alpha else max(max(width, height) // side, 1)
    is_asked = picture.length >= webp_damage.LEAST
    decoded = libwebp.decode(
        np.frombuffer(data, np.uint8, picture.start + picture.length),
        size=(-(-width // factor), -(-height // factor)),
        is_scaled=factor > 1,
        has_alpha=bool(header.has_alpha),
        cut=webp_damage.CUT if is_asked else 0,
    )
    if decoded is None:
        return None
    return WebpPixels(Image.fromarray(decoded.pixels), decoded.ends_early)
