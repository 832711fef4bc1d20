"""Times as cameras, editors and people write them (EXIF 2.32, XMP's ISO 8601, IPTC-IIM)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

_FIRST_PLAUSIBLE_YEAR = 1826
"""That of the oldest photograph there is; cameras without a clock write the year 0 or 1."""
_MAX_TEXT = 60
"""Characters; no way to write a time is longer."""

# Numbers count, and not what stands between them: slashes, points, dashes or blanks.
_DATE = r"\s*(\d{4})\s*[-:/. ]\s*(\d{1,2})\s*[-:/. ]\s*(\d{1,2})"
_COMPACT_DATE = r"\s*(\d{4})(\d{2})(\d{2})"
_TIME = r"[\sT:_-]{1,3}(\d{1,2})\s*[:.h ]\s*(\d{1,2})(?:\s*[:.m ]\s*(\d{1,2})(?:[.,](\d{1,9}))?)?"
_COMPACT_TIME = r"T?(\d{2})(\d{2})(\d{2})(?:[.,](\d{1,9}))?"
_HALF = r"(?:\s*([AaPp])\.?[Mm]\.?)?"
_ZONE = r"\s*(Z|z|UTC|GMT|[+-]\s*\d{1,2}(?::?\d{2})?)?"
_WRITTEN = (
    re.compile(f"{_DATE}(?:{_TIME}{_HALF}{_ZONE})?"),
    re.compile(f"{_COMPACT_DATE}(?:{_COMPACT_TIME}{_HALF}{_ZONE})?\\s*$"),
)
_OFFSET = re.compile(r"\s*(?:(Z|z|UTC|GMT)|([+-])\s*(\d{1,2})(?::?(\d{2}))?)\s*$")


class Moment(NamedTuple):
    """A time, and how far the clock that showed it was from UTC."""

    at: datetime
    """Aware, to the millisecond; where the offset is unknown, the clock's time taken for UTC."""
    offset: int | None
    """Minutes east of UTC; None where it is not known."""


def moment(
    written: str, *, offset: str | None = None, fraction: str | None = None
) -> Moment | None:
    """The time that a text states; None where it states none, or one that can't be.

    Args:
        written: EXIF's `YYYY:MM:DD HH:MM:SS`, ISO 8601, or the same numbers otherwise separated.
            The year comes first: of other orders nobody can say which number is the month.
        offset: what stands beside it, such as EXIF's `OffsetTimeOriginal`; a zone within the text
            goes first.
        fraction: the digits of EXIF's `SubSecTimeOriginal`.
    """
    text = written[:_MAX_TEXT]
    match = next((found for layout in _WRITTEN if (found := layout.match(text))), None)
    if match is None:
        return None
    year, month, day, hour, minute, second, digits, half, zone = match.groups()
    hours = int(hour or 0) % 24  # some cameras count hours from 1 to 24
    if half:
        hours = hours % 12 + (12 if half in "pP" else 0)
    try:
        local = datetime(
            int(year), int(month), int(day), hours, int(minute or 0), min(int(second or 0), 59)
        )
    except ValueError:
        return None
    if (
        not _FIRST_PLAUSIBLE_YEAR <= local.year < 9999
        or int(hour or 0) > 24
        or int(second or 0) > 60
    ):
        return None
    local += timedelta(milliseconds=_milliseconds(digits or fraction))
    minutes = minutes_east(zone or offset)
    zone_of = UTC if minutes is None else timezone(timedelta(minutes=minutes))
    return Moment(local.replace(tzinfo=zone_of), minutes)


def minutes_east(offset: str | None) -> int | None:
    """The offset from UTC that `+02:00`, `+0200`, `+2` or `Z` states; None for anything else."""
    match = _OFFSET.match(offset) if offset else None
    if match is None:
        return None
    if match[1]:
        return 0
    hours, minutes = int(match[3]), int(match[4] or 0)
    if hours > 23 or minutes > 59:
        return None
    return (hours * 60 + minutes) * (-1 if match[2] == "-" else 1)


def _milliseconds(digits: str | None) -> int:
    """The first three digits behind the point; cameras pad with blanks."""
    digits = (digits or "").strip()
    return int(digits[:3].ljust(3, "0")) if digits.isascii() and digits.isdecimal() else 0
