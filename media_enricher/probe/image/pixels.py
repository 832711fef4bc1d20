"""From a file to the small upright picture that every field of colour and shape is made of."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from media_enricher.models import ErrorCode
from media_enricher.probe.image import (
    avif_decoder,
    gif,
    jpeg_decoder,
    memory,
    netpbm,
    png,
    tiff_damage,
    webp,
    webp_damage,
    webp_decoder,
)
from media_enricher.probe.image.decoders import open_image, refusals
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.image.srgb import to_srgb
from media_enricher.probe.source import Buffer, UnreadableError, Window

SIDE = 100
"""The longest side of the small picture, in pixels."""

_SHORTEST_AFTER_DRAFT = 32
_REDUCING_GAP = 2
"""How many times finer than needed a picture is averaged, before it is resampled."""
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
"""TIFF 6.0, PhotometricInterpretation."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Picture(msgspec.Struct):
    """A picture no larger than `SIDE`, upright, RGB or RGBA in sRGB."""

    image: Image.Image
    is_opaque: bool
    is_damaged: bool = False
    """It shows, and not all of it as it was."""


def decode(
    data: Buffer, header: ImageHeader, *, orientation: int | None, max_pixels: int
) -> Picture:
    """Decode the first frame, no finer than needed, and shrink it.

    The small picture is converted to sRGB, which costs little there; see `srgb`.

    Raises:
        UnreadableError: truncated, corrupt or with more pixels than `max_pixels`.
    """
    # Pillow's own limit, checked for the pictures within files (ICO), is never below ours.
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, max_pixels)
    is_damaged = False
    if header.format == "jpeg":
        width, height = header.width or 1, header.height or 1
        scale = _draft_scale(width, height)
        # The coefficients of a progressive one are all held in memory, at any scale.
        held = 1 if header.is_progressive else scale
        _limit(width // held, height // held, max_pixels)
        loaded, is_damaged = jpeg_decoder.decode(data, header, scale=scale)
    else:
        _limit(*header.size_to_decode(), max_pixels)
        if header.format == "webp":
            loaded, is_damaged = _decode_webp(data, header, max_pixels)
        else:
            loaded = _decode_whole(data, header, max_pixels)
        if header.format == "tiff":
            is_damaged = tiff_damage.is_damaged(Window(data), header, loaded)
        if header.crop and not header.is_turned_by_decoder:
            loaded = loaded.crop(header.crop)
    with refusals(header.format):
        picture = _small(_plain(loaded, header))
        picture.image = to_srgb(picture.image, header)
        picture.is_damaged = is_damaged
        if orientation in _UPRIGHT:
            picture.image = picture.image.transpose(_UPRIGHT[orientation])
    return picture


def _limit(width: int | None, height: int | None, max_pixels: int) -> None:
    if width and height and width * height > max_pixels:
        raise UnreadableError(
            ErrorCode.TOO_MANY_PIXELS,
            f"{width:,} x {height:,} pixels to decode are more than the limit of {max_pixels:,}.",
        )


def _decode_webp(data: Buffer, header: ImageHeader, max_pixels: int) -> tuple[Image.Image, bool]:
    """The picture, and whether it is damaged."""
    memory.before_opening(data, header)
    if decoded := webp_decoder.decode(data, header, side=_REDUCING_GAP * SIDE):
        return decoded.image, decoded.is_damaged
    return _decode_whole(data, header, max_pixels), webp_damage.is_damaged(Window(data))


def _decode_whole(data: Buffer, header: ImageHeader, max_pixels: int) -> Image.Image:
    memory.before_opening(data, header)
    if header.format == "gif":
        data = gif.first_frame(data) or data
    elif header.format == "webp" and header.is_truncated:
        data = webp.up_to_first_picture(data) or data
    elif header.format == "ppm":
        data = netpbm.without_comments(data)
    try:
        image = open_image(header.format, data)
        if header.format == "avif":
            _limit(*image.size, max_pixels)
            with refusals("avif"):
                if small := avif_decoder.decode(data, header, small=_small_size(*image.size)):
                    return small
        return _load(image, header, max_pixels)
    except UnreadableError as refused:
        if header.format != "png" or refused.code is not ErrorCode.CORRUPT:
            raise
    return _load(open_image("png", png.pixels_only(data)), header, max_pixels)


def _draft_scale(width: int, height: int) -> int:
    """How much smaller (8, 4, 2 or 1) still leaves enough for the hashes and colours."""
    for scale in (8, 4, 2):
        if max(width, height) >= scale * SIDE and (
            min(width, height) >= scale * _SHORTEST_AFTER_DRAFT
        ):
            return scale
    return 1


def _load(image: ImageFile.ImageFile, header: ImageHeader, max_pixels: int) -> Image.Image:
    _limit(*image.size, max_pixels)
    memory.before_loading(image, header)
    with refusals(header.format):
        image.load()
    return image


def _plain(image: Image.Image, header: ImageHeader) -> Image.Image:
    """The picture as L, RGB, CMYK or LAB, or with alpha as LA or RGBA: modes that can be shrunk."""
    mode = image.mode
    if "transparency" in image.info and mode in {"1", "L", "RGB"}:
        return image.convert("RGBA")  # a PNG may name one colour as transparent
    if mode in {"L", "RGB", "CMYK", "LAB", "LA", "RGBA"}:
        return image
    if mode in {"I", "F"} or mode.startswith("I;16"):
        return _eight_bits(image, header)
    if mode == "1":
        return image.convert("L")
    has_alpha = mode in {"PA", "La", "RGBa"} or "transparency" in image.info
    return image.convert("RGBA" if has_alpha else "RGB")


def _eight_bits(image: Image.Image, header: ImageHeader) -> Image.Image:
    """Deep greys scaled to 8 bits; Pillow's own conversion clips them, which leaves white.

    Floats and 32-bit integers have no agreed white, so their own range is spread instead. Of a
    TIFF, Pillow leaves the bits where they are, and the values as they are where 0 is white.
    """
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        is_narrow = header.format == "tiff" and 8 < (header.bit_depth or 16) < 16
        bits = header.bit_depth or 16 if is_narrow else 16
        grey = (values >> (bits - 8)).astype(np.uint8)
    else:
        grey = _spread(values, image.mode)
    tags = getattr(image, "tag_v2", {})
    is_inverted = header.format == "tiff" and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    return Image.fromarray(np.invert(grey) if is_inverted else grey)


def _spread(numbers: npt.NDArray[np.generic], mode: str) -> npt.NDArray[np.uint8]:
    values = np.nan_to_num(numbers.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if mode == "I" and 255 < high <= 65535 and low >= 0:
        low, high = 0.0, 65535.0
    spread = (values - low) * (255.0 / (high - low)) if high > low else np.zeros_like(values)
    return spread.astype(np.uint8)


def _small(image: Image.Image) -> Picture:
    is_opaque = True
    if image.mode in {"LA", "RGBA"}:
        lowest, _ = image.getchannel("A").getextrema()
        is_opaque = lowest == 255
        if is_opaque:  # shrinking with alpha costs several times as much
            image = image.convert("RGB" if image.mode == "RGBA" else "L")
    width, height = image.size
    if max(width, height) > SIDE:
        size = _small_size(width, height)
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
    return Picture(image, is_opaque)


def _small_size(width: int, height: int) -> tuple[int, int]:
    """Of a picture that is shrunk until its longest side is `SIDE`."""
    factor = SIDE / max(width, height)
    return max(round(width * factor), 1), max(round(height * factor), 1)
