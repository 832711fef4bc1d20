"""An AVIF's pixels at a small size, where its picture is one plain AV1 stream.

Planes are shrunk before they become RGB. What has alpha, tiles, layers, frames, a cut-out, more
than eight bits or no chroma, and what dav1d refuses, Pillow decodes.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from media_enricher.probe.image import dav1d
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.source import Buffer

_WEIGHTS = {
    1: (0.2126, 0.0722),
    2: (0.299, 0.114),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""ITU-T H.273, table 4: the part of red and blue in luma. 2 stands for unknown."""
_LEAST_SHRINKING = 8
"""Smaller pictures cost little as they are, and what clipping does to colours shows in them."""
_BLACK, _LUMA_STEPS, _CHROMA_STEPS, _MIDDLE = 16, 219, 224, 128
"""Of samples of video range (H.273, 8.3)."""


def decode(data: Buffer, header: ImageHeader, *, small: tuple[int, int]) -> Image.Image | None:
    """Decode a large plain picture by dav1d itself.

    Args:
        data: the whole file.
        header: of this file.
        small: width and height that are needed.

    Returns:
        A picture in the mode RGB; None where Pillow has to decode it.
    """
    if header.av1_stream is None:
        return None
    size = header.size_to_decode()
    start, length = header.av1_stream
    if max(size) < _LEAST_SHRINKING * max(small) or not length or start + length > len(data):
        return None
    planes = dav1d.decode_planes(bytes(data[start : start + length]), size=size, small=small)
    if planes is None:
        return None
    matrix, is_full_range = header.yuv or (planes.matrix, planes.is_full_range)
    weights = _WEIGHTS.get(matrix)
    return _to_rgb(planes, weights, is_full_range=is_full_range) if weights else None


def _to_rgb(
    planes: dav1d.Planes, weights: tuple[float, float], *, is_full_range: bool
) -> Image.Image:
    luma, blue_difference, red_difference = (
        np.asarray(plane, dtype=np.float32) for plane in (planes.luma, planes.blue, planes.red)
    )
    chroma_scale = 1.0
    if not is_full_range:
        luma = (luma - _BLACK) * (255 / _LUMA_STEPS)
        chroma_scale = 255 / _CHROMA_STEPS
    of_red, of_blue = weights
    red = luma + (red_difference - _MIDDLE) * (2 * (1 - of_red) * chroma_scale)
    blue = luma + (blue_difference - _MIDDLE) * (2 * (1 - of_blue) * chroma_scale)
    green = (luma - of_red * red - of_blue * blue) / (1 - of_red - of_blue)
    rgb = np.clip(np.stack([red, green, blue], axis=-1) + 0.5, 0, 255)
    return Image.fromarray(rgb.astype(np.uint8))
