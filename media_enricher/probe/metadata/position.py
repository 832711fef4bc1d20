"""Positions on the earth as EXIF, XMP and QuickTime write them, in degrees north and east."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

_MAX_TEXT = 100

# XMP part 2, 8.2.2.2: `48,51.49333N` or `48,51,29N`; some write decimal degrees, with or without N.
_XMP = re.compile(
    r"\s*([+-]?\d{1,3}(?:\.\d+)?)(?:\s*[,\s]\s*(\d{1,2}(?:\.\d+)?))?"
    r"(?:\s*[,\s]\s*(\d{1,2}(?:\.\d+)?))?\s*([NSEWnsew]?)\s*$"
)
# Some phones write text where EXIF wants rationals: `52,50,34.0118`, or with a comma in decimals.
_NUMBERS = re.compile(r"\s*\d{1,3}(?:\.\d+)?(?:\s*[,;\s]\s*\d{1,2}(?:\.\d+)?){0,2}\s*")
_COMMA_DECIMALS = re.compile(
    r"\s*(\d{1,3},\d+)\s*[,;\s]\s*(\d{1,2},\d+)\s*[,;\s]\s*(\d{1,2},\d+)\s*"
)
# ISO 6709, annex H: degrees, and minutes and seconds without a separator, then perhaps a height.
_ISO_6709 = re.compile(
    r"\s*([+-])(\d{2}|\d{4}|\d{6})(\.\d+)?([+-])(\d{3}|\d{5}|\d{7})(\.\d+)?"
    r"(?:[+-]\d+(?:\.\d+)?)?(?:CRS\w+)?/?\s*\0?$"
)
_PLACES = 7
"""Of a degree: a centimetre."""


class Position(NamedTuple):
    """Where something was taken, in degrees."""

    latitude: float
    longitude: float


def from_exif(
    latitude: Sequence[float], north: str | None, longitude: Sequence[float], east: str | None
) -> Position | None:
    """From EXIF's GPS tags: degrees, minutes and seconds, or decimal degrees alone, and the side.

    Without its side (`N`, `S`, `E`, `W`) a number is no position. Half a position is none.
    """
    return _position(
        _signed(latitude, (north or "").strip()[:1], "N", "S"),
        _signed(longitude, (east or "").strip()[:1], "E", "W"),
    )


def numbers(text: str) -> list[float]:
    """Degrees, minutes and seconds that EXIF holds as text; none where it is not that."""
    text = text[:_MAX_TEXT]
    if match := _COMMA_DECIMALS.fullmatch(text):
        return [float(part.replace(",", ".")) for part in match.groups()]
    if _NUMBERS.fullmatch(text):
        return [float(part) for part in re.split(r"[,;\s]+", text.strip())]
    return []


def from_xmp(latitude: str | None, longitude: str | None) -> Position | None:
    """From `exif:GPSLatitude` and `exif:GPSLongitude`, which end in their side."""
    return _position(_xmp_degrees(latitude, "N", "S"), _xmp_degrees(longitude, "E", "W"))


def from_iso6709(text: str) -> Position | None:
    """From QuickTime's `+48.8577+002.295+035.1/`, or degrees and minutes, `+4851.5+00217.7/`."""
    match = _ISO_6709.match(text[:_MAX_TEXT])
    if match is None:
        return None
    north, latitude, latitude_rest, east, longitude, longitude_rest = match.groups()
    return _position(
        _iso_degrees(north, latitude, latitude_rest, 2),
        _iso_degrees(east, longitude, longitude_rest, 3),
    )


def _position(latitude: float | None, longitude: float | None) -> Position | None:
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return None
    return Position(round(latitude, _PLACES), round(longitude, _PLACES))


def _signed(parts: Sequence[float], side: str, plus: str, minus: str) -> float | None:
    sign = {plus: 1, minus: -1}.get(side.upper())
    if sign is None or not 1 <= len(parts) <= 3 or not math.isfinite(parts[0]):
        return None
    # What a camera does not know of the minutes and seconds, it writes as 0/0.
    known = [part if math.isfinite(part) else 0.0 for part in parts]
    if any(part < 0 for part in known):
        return None
    return sign * sum(part / 60.0**power for power, part in enumerate(known))


def _xmp_degrees(text: str | None, plus: str, minus: str) -> float | None:
    match = _XMP.match(text[:_MAX_TEXT]) if text else None
    if match is None:
        return None
    parts = [float(part) for part in match.groups()[:3] if part]
    side = match[4].upper()
    if not side and len(parts) == 1:  # decimal degrees, with their sign
        return parts[0]
    return _signed(parts, side, plus, minus)


def _iso_degrees(sign: str, digits: str, rest: str | None, width: int) -> float:
    parts = [digits[:width], *(digits[at : at + 2] for at in range(width, len(digits), 2))]
    parts[-1] += rest or ""
    degrees = sum(float(part) / 60.0**power for power, part in enumerate(parts))
    return -degrees if sign == "-" else degrees
