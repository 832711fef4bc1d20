"""BlurHash and ThumbHash: placeholders of 30 bytes that a browser draws while a picture loads.

Both are sums of a few cosines, so two products of small matrices make them. They are taken from a
picture squeezed into a 32x32 square: the cosines run over fractions of the sides, so the shape of
the samples does not matter to them, and the same tables serve every picture.
"""

from __future__ import annotations

import base64

import numpy as np
import numpy.typing as npt

SIDE = 32
_OPAQUE = np.ones((SIDE, SIDE))
Floats = npt.NDArray[np.float64]

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
_BYTES = np.arange(256) / 255
_LINEAR = np.where(_BYTES <= 0.04045, _BYTES / 12.92, ((_BYTES + 0.055) / 1.055) ** 2.4)
_LEVEL_WEIGHTS = np.array([361.0, 19.0, 1.0])
_BLUR_BASIS = np.cos(np.pi / SIDE * np.outer(np.arange(4), np.arange(SIDE)))
_THUMB_BASIS = np.cos(np.pi / SIDE * np.outer(np.arange(7), np.arange(SIDE) + 0.5))


def blurhash(rgb: npt.NDArray[np.uint8], *, is_portrait: bool) -> str:
    """The BlurHash (Wolt, woltapp/blurhash, Algorithm.md) of 4x3 components, 3x4 for a portrait.

    Args:
        rgb: 32x32x3, transparent pictures laid over white.
        is_portrait: whether the picture is taller than it is wide.
    """
    across, down = (3, 4) if is_portrait else (4, 3)
    linear = _LINEAR[rgb]
    rows = (_BLUR_BASIS[:down] @ linear.reshape(SIDE, SIDE * 3)).reshape(down, SIDE, 3)
    factors = (_BLUR_BASIS[:across] @ rows).reshape(-1, 3) * (2 / SIDE**2)
    mean, waves = factors[0] / 2, factors[1:]
    peak = max(0, min(82, int(float(np.abs(waves).max()) * 166 - 0.5)))
    scaled = waves * (166 / (peak + 1))
    levels = np.clip(np.floor(np.copysign(np.sqrt(np.abs(scaled)), scaled) * 9 + 9.5), 0, 18)
    red, green, blue = map(_srgb, mean.tolist())
    return "".join(
        (
            _base83(across - 1 + (down - 1) * 9, 1),
            _base83(peak, 1),
            _base83(red << 16 | green << 8 | blue, 4),
            *(_base83(int(level), 2) for level in (levels @ _LEVEL_WEIGHTS).tolist()),
        )
    )


def _srgb(linear: float) -> int:
    value = max(0.0, min(1.0, linear))
    if value <= 0.0031308:
        return int(value * 12.92 * 255 + 0.5)
    return int((1.055 * value ** (1 / 2.4) - 0.055) * 255 + 0.5)


def _base83(value: int, length: int) -> str:
    return "".join(_DIGITS[value // 83**place % 83] for place in reversed(range(length)))


def thumbhash(rgba: npt.NDArray[np.uint8], *, width: int, height: int) -> str:
    """The ThumbHash (Evan Wallace, evanw/thumbhash) in base64.

    Args:
        rgba: 32x32x4, or 32x32x3 for an opaque picture.
        width: of the picture; only its proportion to the height matters.
        height: of the picture.
    """
    opacity = rgba[..., 3] / 255 if rgba.shape[2] == 4 else _OPAQUE
    has_alpha = bool((opacity < 1).any())
    luma, yellow_blue, red_green = _channels(rgba[..., :3] / 255, opacity if has_alpha else None)
    longest = max(width, height)
    most = 5 if has_alpha else 7
    across = max(1, round_half_up(most * width / longest))
    down = max(1, round_half_up(most * height / longest))

    l_mean, l_waves, l_scale = _encoded(luma, max(3, across), max(3, down))
    p_mean, p_waves, p_scale = _encoded(yellow_blue, 3, 3)
    q_mean, q_waves, q_scale = _encoded(red_green, 3, 3)
    is_landscape = width > height
    head = (
        round_half_up(63 * l_mean)
        | round_half_up(31.5 + 31.5 * p_mean) << 6
        | round_half_up(31.5 + 31.5 * q_mean) << 12
        | round_half_up(31 * l_scale) << 18
        | has_alpha << 23
        | (down if is_landscape else across) << 24
        | round_half_up(63 * p_scale) << 27
        | round_half_up(63 * q_scale) << 33
        | is_landscape << 39
    )
    packed = bytearray(head.to_bytes(5, "little"))
    waves = [*l_waves, *p_waves, *q_waves]
    if has_alpha:
        a_mean, a_waves, a_scale = _encoded(opacity, 5, 5)
        packed.append(round_half_up(15 * a_mean) | round_half_up(15 * a_scale) << 4)
        waves += a_waves
    nibbles = [round_half_up(15 * wave) for wave in waves] + [0]
    packed += bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=False))
    return base64.b64encode(bytes(packed)).decode("ascii")


def round_half_up(value: float) -> int:
    """JavaScript's Math.round, which the format is defined by; Python rounds halves to even."""
    return int(value + 0.5)


def _channels(rgb: Floats, opacity: Floats | None) -> tuple[Floats, Floats, Floats]:
    """Luma, yellow against blue, and red against green, over the picture's mean colour."""
    if opacity is not None:
        total = opacity.sum()
        visible = rgb * opacity[..., np.newaxis]
        mean = visible.sum(axis=(0, 1)) / total if total else np.zeros(3)
        rgb = mean * (1 - opacity[..., np.newaxis]) + visible
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    return (red + green + blue) / 3, (red + green) / 2 - blue, red - green


def _encoded(channel: Floats, across: int, down: int) -> tuple[float, list[float], float]:
    """A channel's mean, its waves (the triangle of low frequencies) from 0 to 1, and its scale."""
    factors = (_THUMB_BASIS[:down] @ channel @ _THUMB_BASIS[:across].T / SIDE**2).tolist()
    waves: list[float] = [
        factors[y][x]
        for y in range(down)
        for x in range(across)
        if (x or y) and x * down < across * (down - y)
    ]
    scale = max(map(abs, waves), default=0.0)
    if scale:
        waves = [0.5 + 0.5 / scale * wave for wave in waves]
    return factors[0][0], waves, scale
