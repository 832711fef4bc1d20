"""Colours as sRGB: a small picture is converted by its ICC profile, or by what its file says.

The order is that of the PNG specification (W3C, third edition, 4.3): coded primaries and transfer
(`cICP`), an ICC profile, sRGB, then gamma and chromaticities. HEIF and AVIF put a profile before
coded ones. A profile that does not fit the picture, or that Little CMS refuses, changes nothing:
the picture is shown as if it were sRGB, as browsers do.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from media_enricher.probe.image.header import ImageHeader

Floats = npt.NDArray[np.float64]

_MAX_PROFILE = 4 * 1024 * 1024
"""Profiles of printing presses have up to 3 MB."""
_CACHED_PROFILE = 1024 * 1024
_CACHED_TRANSFORMS = 4
_MAX_TAGS = 100
_MAX_ELEMENTS = 16
_MAX_ELEMENT_BYTES = 64 * 1024
"""Of a tag of type `mpet`: its elements are steps for each pixel, which may share their bytes, and
its curves have segments without a limit. All other types have a fixed number of steps."""
_MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}
_CLASSES = {b"mntr", b"scnr", b"prtr", b"spac"}
"""Profiles of a screen, scanner, printer or colour space; links and named colours are none."""

_SRGB_CHROMATICITIES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_CHROMATICITIES = {
    1: _SRGB_CHROMATICITIES,
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (0.3127, 0.3290, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (0.3127, 0.3290, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (0.3127, 0.3290, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
"""ITU-T H.273, table 2: white, red, green and blue, as x and y each."""
_LIKE_SRGB = frozenset({1, 6, 13, 14, 15})
"""ITU-T H.273, table 3: sRGB's curve, and BT.709's, which browsers show with the same one."""
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_PQ, _HLG = 16, 18
_WHITE_NITS = 203.0
"""What PQ and HLG show as white paper (ITU-R BT.2408). What is brighter becomes white."""
_TOLERANCE = 0.01
"""Writers round gamma and chromaticities of sRGB."""
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_LEAST_DETERMINANT = 1e-6
_SIGNAL = np.arange(256) / 255


def to_srgb(picture: Image.Image, header: ImageHeader) -> Image.Image:
    """The picture in sRGB.

    Args:
        picture: a small one, in the mode L, LA, RGB, RGBA, CMYK or LAB.
        header: says what its colours mean.

    Returns:
        A picture in the mode RGB, or RGBA where the given one has alpha.
    """
    alpha = picture.getchannel("A") if picture.mode in {"LA", "RGBA"} else None
    plain = {"LA": "L", "RGBA": "RGB"}.get(picture.mode)
    converted = _converted(picture.convert(plain) if plain else picture, header)
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _converted(picture: Image.Image, header: ImageHeader) -> Image.Image:
    if picture.mode == "LAB":
        return ImageCms.applyTransform(picture, _from_lab()) or picture.convert("RGB")
    coded = header.coded_colours
    if coded and (header.format == "png" or not header.icc):
        space = _coded_space(*coded)
        return _by_space(picture, *space) if space else picture.convert("RGB")
    if header.icc:
        return _by_profile(picture, header.icc) or picture.convert("RGB")
    if header.gamma and not header.is_srgb:
        chromaticities = header.chromaticities or _SRGB_CHROMATICITIES
        is_like_srgb = abs(header.gamma - 1 / 2.2) < _TOLERANCE
        curve = _linear(_SIGNAL) if is_like_srgb else _SIGNAL ** (1 / header.gamma)
        if not is_like_srgb or np.abs(np.subtract(chromaticities, _SRGB_CHROMATICITIES)).max() > (
            _TOLERANCE
        ):
            return _by_space(picture, chromaticities, curve)
    return picture.convert("RGB")


def _by_profile(picture: Image.Image, profile: bytes) -> Image.Image | None:
    """None where the profile is not one for such a picture, or is broken."""
    mode = _mode_of(profile)
    if mode == "RGB" and picture.mode == "L":
        picture = picture.convert("RGB")
    if mode != picture.mode:
        return None
    build = _cached_transform if len(profile) <= _CACHED_PROFILE else _transform
    transform = build(profile, mode)
    return ImageCms.applyTransform(picture, transform) if transform else None


def _mode_of(profile: bytes) -> str | None:
    """The mode of the pictures that a profile is for; None where it is not to be used."""
    if not 132 <= len(profile) <= _MAX_PROFILE or profile[36:40] != b"acsp":
        return None
    tags = int.from_bytes(profile[128:132], "big")
    if tags > _MAX_TAGS or profile[12:16] not in _CLASSES:
        return None
    for at in range(132, 132 + 12 * tags, 12):
        offset = int.from_bytes(profile[at + 4 : at + 8], "big")
        length = int.from_bytes(profile[at + 8 : at + 12], "big")
        if profile[offset : offset + 4] == b"mpet" and (
            length > _MAX_ELEMENT_BYTES
            or int.from_bytes(profile[offset + 12 : offset + 16], "big") > _MAX_ELEMENTS
        ):
            return None
    return _MODES.get(profile[16:20])


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From the profile to sRGB, perceptually; None where Little CMS refuses the profile."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(source, _srgb(), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


_cached_transform = lru_cache(maxsize=_CACHED_TRANSFORMS)(_transform)
"""Building one takes 0.2 to 20 ms; most pictures of a bucket have one of a few small profiles."""


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@lru_cache(maxsize=1)
def _from_lab() -> ImageCms.ImageCmsTransform:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    return ImageCms.buildTransform(lab, _srgb(), "LAB", "RGB")


def _coded_space(primaries: int, transfer: int) -> tuple[tuple[float, ...], Floats] | None:
    """Chromaticities and curve by their numbers in H.273; None for sRGB and what is unknown."""
    chromaticities = _CHROMATICITIES.get(primaries)
    if transfer in _LIKE_SRGB:
        is_srgb = chromaticities in (None, _SRGB_CHROMATICITIES)
        return None if is_srgb or not chromaticities else (chromaticities, _linear(_SIGNAL))
    chromaticities = chromaticities or _SRGB_CHROMATICITIES
    if transfer in _GAMMAS:
        return chromaticities, _SIGNAL ** _GAMMAS[transfer]
    if transfer == _PQ:
        return chromaticities, _from_pq(_SIGNAL)
    if transfer == _HLG:
        return chromaticities, _from_hlg(_SIGNAL)
    return None


def _linear(signal: Floats) -> Floats:
    """The curve of sRGB (IEC 61966-2-1), from signal to light."""
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def _from_pq(signal: Floats) -> Floats:
    """SMPTE ST 2084, with white paper as 1."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    root = signal ** (1 / m2)
    nits = 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    return nits / _WHITE_NITS


def _from_hlg(signal: Floats) -> Floats:
    """ARIB STD-B67 on a screen of 1,000 cd/m², its system gamma channel by channel."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return 1000 / _WHITE_NITS * scene**1.2


def _by_space(
    picture: Image.Image, chromaticities: tuple[float, ...], curve: Floats
) -> Image.Image:
    """Convert by primaries, white point and the light of each of 256 signals."""
    rgb = picture.convert("RGB")
    matrix = _matrix(chromaticities)
    if matrix is None:
        return rgb
    light = np.clip(curve[np.asarray(rgb)] @ matrix.T, 0, 1)
    signal = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return Image.fromarray(np.round(signal * 255).astype(np.uint8))


def _matrix(chromaticities: tuple[float, ...]) -> Floats | None:
    """From linear RGB of these primaries to that of sRGB; None where they make no colours."""
    source = _to_xyz(chromaticities)
    target = _to_xyz(_SRGB_CHROMATICITIES)
    if source is None or target is None:
        return None
    here, there = _BRADFORD @ source.sum(axis=1), _BRADFORD @ target.sum(axis=1)
    if abs(here).min() < _LEAST_DETERMINANT:
        return None
    adapted: Floats = np.linalg.inv(_BRADFORD) @ np.diag(there / here) @ _BRADFORD
    return np.linalg.inv(target) @ adapted @ source


def _to_xyz(chromaticities: tuple[float, ...]) -> Floats | None:
    xy = np.array(chromaticities, dtype=np.float64).reshape(4, 2)
    if not np.isfinite(xy).all() or xy[:, 1].min() <= 0:
        return None
    columns = np.vstack([xy[:, 0] / xy[:, 1], np.ones(4), (1 - xy.sum(axis=1)) / xy[:, 1]])
    white, primaries = columns[:, 0], columns[:, 1:]
    if abs(np.linalg.det(primaries)) < _LEAST_DETERMINANT:
        return None
    scaled: Floats = primaries * np.linalg.solve(primaries, white)
    return scaled
