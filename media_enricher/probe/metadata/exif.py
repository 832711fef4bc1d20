"""EXIF (CIPA DC-008): the tags asked for, as values that JSON has.

Its own reader, for two reasons. Pillow's takes 100 to 500 µs a photograph, where a header probe as
a whole may take 60; and files with broken EXIF are common, of which as much as possible is wanted.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any

import msgspec
from PIL.ExifTags import GPS, IFD, Base

from media_enricher.probe.metadata.texts import clean, decoded

_MAX_ENTRIES = 500
_MAX_VALUES = 32
_MAX_TEXT = 2_000
_MAX_VALUE_BYTES = 64 * 1024
"""What is copied of one value; a text is cut to `_MAX_TEXT` characters anyway."""
_FIRST_PLAUSIBLE_YEAR = 1826
"""That of the oldest photograph there is; cameras without a clock write the year 0 or 1."""

_WANTED = frozenset(
    {
        Base.ImageDescription,
        Base.Make,
        Base.Model,
        Base.Orientation,
        Base.DateTimeOriginal,
        Base.DateTimeDigitized,
        Base.OffsetTimeOriginal,
        Base.OffsetTimeDigitized,
        Base.LensModel,
        Base.LensMake,
    }
)

# Field type -> (bytes a value, struct code); rationals are read as pairs.
_TYPES = {
    1: (1, "B"),
    2: (1, "s"),
    3: (2, "H"),
    4: (4, "I"),
    5: (8, "I"),
    6: (1, "b"),
    7: (1, "s"),
    8: (2, "h"),
    9: (4, "i"),
    10: (8, "i"),
    11: (4, "f"),
    12: (8, "d"),
    13: (4, "I"),  # the offset of a directory
    129: (1, "s"),  # UTF-8, of EXIF 3.0
}
_RATIONALS = {5, 10}
_TEXTS = {2, 129}
_UNDEFINED = 7


class Exif(msgspec.Struct):
    """What EXIF says about one picture."""

    orientation: int | None = None
    taken_at: datetime | None = None
    camera_make: str | None = None
    camera_model: str | None = None
    lens: str | None = None
    description: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    tags: dict[str, Any] = msgspec.field(default_factory=dict)
    """The tags asked for, by name."""


def read(block: bytes | memoryview, *, tags: tuple[str, ...], location: bool) -> Exif:
    """Read an EXIF block: a TIFF file, with or without the prefix that JPEG gives it.

    What can't be read is left out. The GPS directory is not opened unless `location` is true.
    """
    if block[:6] == b"Exif\0\0":
        block = block[6:]
    asked = _ids_of(tags)
    values = _directories(block, _WANTED | asked.keys(), location=location)
    if not values:
        return Exif()
    found = Exif(
        orientation=_orientation(values.get(Base.Orientation)),
        taken_at=_taken_at(values),
        camera_make=_text(values.get(Base.Make)),
        camera_model=_text(values.get(Base.Model)),
        lens=_text(values.get(Base.LensModel)),
        description=_text(values.get(Base.ImageDescription)),
        tags={name: values[tag] for tag, name in asked.items() if values.get(tag) is not None},
    )
    if location:
        found.latitude, found.longitude = _coordinates(values)
    return found


def moment(date_time: str, offset: str | None = None) -> datetime | None:
    """An aware time from EXIF's `YYYY:MM:DD HH:MM:SS` or XMP's ISO 8601, UTC where none is said."""
    text = date_time.strip()
    if len(text) >= 10 and text[4] == text[7] == ":":
        text = text[:10].replace(":", "-") + text[10:]
    try:
        taken = datetime.fromisoformat(text)
    except ValueError:
        return None
    if not _FIRST_PLAUSIBLE_YEAR <= taken.year < 9999:
        return None
    return taken if taken.tzinfo else taken.replace(tzinfo=_zone(offset))


@lru_cache
def _ids_of(names: tuple[str, ...]) -> dict[int, str]:
    """Tag numbers by name. Names of the GPS directory are not among them: `location` decides."""
    known = {tag.name: int(tag) for tag in Base}
    return {known[name]: name for name in names if name in known and not name.startswith("GPS")}


def _directories(
    block: bytes | memoryview, wanted: frozenset[int], *, location: bool
) -> dict[int, Any]:
    """The wanted tags of IFD0 and the Exif directory, and under their own numbers those of GPS.

    The numbers of GPS tags (0 to 31) overlap with no other tag we keep.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(block[:4]))
    if order is None or len(block) < 8:
        return {}
    (first,) = struct.unpack_from(f"{order}I", block, 4)
    pointers = frozenset({IFD.Exif, IFD.GPSInfo}) if location else frozenset({IFD.Exif})
    values = dict(_entries(block, order, first, wanted | pointers))
    exif_at, gps_at = values.pop(IFD.Exif, None), values.pop(IFD.GPSInfo, None)
    if isinstance(exif_at, int):
        values.update(_entries(block, order, exif_at, wanted))
    if isinstance(gps_at, int):
        values.update(_entries(block, order, gps_at, _GPS_WANTED))
    return values


_GPS_WANTED = frozenset(
    {GPS.GPSLatitudeRef, GPS.GPSLatitude, GPS.GPSLongitudeRef, GPS.GPSLongitude}
)


def _entries(
    block: bytes | memoryview, order: str, offset: int, wanted: frozenset[int]
) -> Iterator[tuple[int, Any]]:
    if offset + 2 > len(block):
        return
    (count,) = struct.unpack_from(f"{order}H", block, offset)
    count = min(count, _MAX_ENTRIES, (len(block) - offset - 2) // 12)
    entry = _entry_layout(order)
    seen: set[int] = set()  # each tag once, or 500 entries could name one long text 500 times
    for tag, field_type, length, value_at in entry.iter_unpack(
        block[offset + 2 : offset + 2 + 12 * count]
    ):
        if tag not in wanted or tag in seen or field_type not in _TYPES:
            continue
        size = _TYPES[field_type][0] * length
        if size <= 4:
            raw = value_at[:size]
        else:
            start = int.from_bytes(value_at, "little" if order == "<" else "big")
            if start + size > len(block):
                continue
            raw = bytes(block[start : start + min(size, _MAX_VALUE_BYTES)])
        seen.add(tag)
        value = _value(raw, order, field_type, length)
        if value is not None:
            yield tag, value


@lru_cache
def _entry_layout(order: str) -> struct.Struct:
    return struct.Struct(f"{order}HHI4s")


def _value(raw: bytes, order: str, field_type: int, length: int) -> Any:
    """A JSON value: text, a number, or a list of numbers. None for what has none."""
    if field_type in _TEXTS:
        return clean(decoded(raw.partition(b"\0")[0]), _MAX_TEXT)
    if field_type == _UNDEFINED:
        return _undefined(raw)
    if not 0 < length <= _MAX_VALUES:
        return None
    code = _TYPES[field_type][1]
    per_value = 2 if field_type in _RATIONALS else 1
    numbers: tuple[Any, ...] = struct.unpack(f"{order}{length * per_value}{code}", raw)
    if field_type in _RATIONALS:
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        numbers = tuple(top / bottom if bottom else math.nan for top, bottom in pairs)
    if any(not math.isfinite(number) for number in numbers):
        return None
    return numbers[0] if length == 1 else list(numbers)


def _undefined(raw: bytes) -> Any:
    """Bytes whose meaning each tag defines: a single number, a version, or nothing to show."""
    if len(raw) == 1:
        return raw[0]
    text = raw.rstrip(b"\0")
    return text.decode("ascii") if 0 < len(text) <= 64 and _is_printable(text) else None


def _is_printable(text: bytes) -> bool:
    return text.isascii() and text.decode("ascii").isprintable()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _orientation(value: Any) -> int | None:
    return value if isinstance(value, int) and 1 <= value <= 8 else None


def _taken_at(values: dict[int, Any]) -> datetime | None:
    """When the shutter opened; else when a picture on film was digitised."""
    for date_tag, offset_tag in (
        (Base.DateTimeOriginal, Base.OffsetTimeOriginal),
        (Base.DateTimeDigitized, Base.OffsetTimeDigitized),
    ):
        written = _text(values.get(date_tag))
        taken = moment(written, _text(values.get(offset_tag))) if written else None
        if taken:
            return taken
    return None


def _zone(offset: str | None) -> timezone:
    """The zone of EXIF's `+02:00`."""
    if offset is None or len(offset) != 6 or offset[0] not in "+-" or offset[3] != ":":
        return UTC
    hours, minutes = offset[1:3], offset[4:6]
    if not (hours.isdecimal() and minutes.isdecimal() and int(hours) < 24 and int(minutes) < 60):
        return UTC
    shift = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-shift if offset[0] == "-" else shift)


def _coordinates(values: dict[int, Any]) -> tuple[float | None, float | None]:
    """Degrees north and east, or neither: half a position is none."""
    north = _degrees(values.get(GPS.GPSLatitude), values.get(GPS.GPSLatitudeRef), "N", "S", 90)
    east = _degrees(values.get(GPS.GPSLongitude), values.get(GPS.GPSLongitudeRef), "E", "W", 180)
    return (north, east) if north is not None and east is not None else (None, None)


def _degrees(parts: Any, side: Any, plus: str, minus: str, most: int) -> float | None:
    if not isinstance(parts, list) or not 1 <= len(parts) <= 3 or not isinstance(side, str):
        return None
    sign = {plus: 1, minus: -1}.get(side[:1].upper())
    if sign is None:
        return None
    degrees = sum(float(part) / 60**power for power, part in enumerate(parts))
    return round(sign * degrees, 7) if 0 <= degrees <= most else None
