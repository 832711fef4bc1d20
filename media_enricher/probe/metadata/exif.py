"""EXIF (CIPA DC-008, 3.0): what its tags say, and those asked for as values that JSON has.

Its own reader, for two reasons. Pillow's takes 100 to 500 µs a photograph, where a header probe as
a whole may take 60; and files with broken EXIF are common, of which as much as possible is wanted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from PIL.ExifTags import GPS, IFD, Base

from media_enricher.probe.metadata import maker_notes, position
from media_enricher.probe.metadata.directories import (
    ASCII,
    RATIONALS,
    UNDEFINED,
    UTF8,
    Entry,
    Tiff,
)
from media_enricher.probe.metadata.maker_notes import MAKER_NOTE
from media_enricher.probe.metadata.texts import MAX_DESCRIPTION, clean, decoded
from media_enricher.probe.metadata.times import Moment, moment
from media_enricher.probe.metadata.values import Values
from media_enricher.probe.source import MoreBytesError

MAX_HEADER_BYTES = 8 * 1024 * 1024
"""The most that is read of an object for its metadata."""
_MAX_VALUES = 32
_MAX_VALUE_BYTES = 64 * 1024

_IMAGE_TITLE, _PHOTOGRAPHER = 0xA436, 0xA437  # of EXIF 3.0, which Pillow does not name yet
_RATING, _RATING_PERCENT = 0x4746, 0x4749

_WANTED = frozenset(
    {
        Base.ImageDescription,
        Base.Make,
        Base.Model,
        Base.Orientation,
        Base.Artist,
        Base.Copyright,
        Base.XPTitle,
        Base.XPComment,
        Base.XPAuthor,
        Base.XPKeywords,
        Base.DateTimeOriginal,
        Base.DateTimeDigitized,
        Base.OffsetTimeOriginal,
        Base.OffsetTimeDigitized,
        Base.SubsecTimeOriginal,
        Base.SubsecTimeDigitized,
        Base.LensModel,
        _IMAGE_TITLE,
        _PHOTOGRAPHER,
        _RATING,
        _RATING_PERCENT,
    }
)
_GPS_WANTED = frozenset(
    {GPS.GPSLatitudeRef, GPS.GPSLatitude, GPS.GPSLongitudeRef, GPS.GPSLongitude}
)
_EXIF_AT, _GPS_AT = int(IFD.Exif), int(IFD.GPSInfo)
_POINTERS = frozenset({_EXIF_AT, _GPS_AT})
_ONLY_FIRST_DIRECTORY = frozenset({int(Base.Orientation)})
"""Tags that mean nothing elsewhere."""

_TEXTS = frozenset({ASCII, UTF8})
_WINDOWS = frozenset(
    {int(Base.XPTitle), int(Base.XPComment), int(Base.XPAuthor), int(Base.XPKeywords), 0x9C9F}
)
"""Texts of Windows Explorer: UTF-16, little-endian whatever the order of the rest."""
_T = TypeVar("_T")
_USER_COMMENT = int(Base.UserComment)
_SEVERAL = frozenset({int(Base.Copyright), int(Base.Artist)})
"""Texts that NUL separates: of Copyright, the photographer's and the editor's."""


def read(tiff: Tiff, *, tags: tuple[str, ...]) -> Values:
    """What the directories of EXIF say. What can't be read is left out.

    Raises:
        MoreBytesError: a value lies outside of the window, and may be asked for.
    """
    asked, in_first, in_exif = _wanted(tags)
    reader = _Reader(tiff)
    values = reader.values(reader.entries(tiff.first, in_first))
    exif_at, gps_at = values.pop(_EXIF_AT, None), values.pop(_GPS_AT, None)
    camera = reader.entries(exif_at, in_exif) if isinstance(exif_at, int) else {}
    notes = camera.get(MAKER_NOTE) if MAKER_NOTE in asked else camera.pop(MAKER_NOTE, None)
    values.update(reader.values(camera))
    make, lens = _text(values.get(Base.Make)), _text(values.get(Base.LensModel))
    labels = None
    if make and notes:
        lens = lens or reader.by_maker(maker_notes.lens, notes, make)
        labels = reader.by_maker(maker_notes.labels, notes, make)
    gps = reader.values(reader.entries(gps_at, _GPS_WANTED)) if isinstance(gps_at, int) else {}
    return Values(
        orientation=_within(values.get(Base.Orientation), 1, 8),
        taken=_taken(values),
        camera_make=make,
        camera_model=_text(values.get(Base.Model)),
        labels=labels or [],
        lens=lens,
        position=_position(gps),
        title=_text(values.get(_IMAGE_TITLE)) or _text(values.get(Base.XPTitle)),
        description=_text(values.get(Base.ImageDescription)) or _text(values.get(Base.XPComment)),
        tags=(_text(values.get(Base.XPKeywords)) or "").split(";"),
        creators=_list(values, Base.Artist, _PHOTOGRAPHER, Base.XPAuthor),
        copyright=_text(values.get(Base.Copyright)),
        rating=_rating(values),
        exif={
            name: value
            for tag, name in asked.items()
            if (value := values.get(tag)) is not None and _is_json(value)
        },
        is_cut=reader.is_cut,
    )


@lru_cache
def _wanted(names: tuple[str, ...]) -> tuple[dict[int, str], frozenset[int], frozenset[int]]:
    """The tags asked for with their names, and all that are looked at in IFD0 and in Exif.

    Names of the GPS directory are not among them: `location` decides.
    """
    known = {tag.name: int(tag) for tag in Base}
    asked = {known[name]: name for name in names if name in known and not name.startswith("GPS")}
    wanted = _WANTED | asked.keys()
    return asked, wanted | _POINTERS, (wanted | {MAKER_NOTE}) - _ONLY_FIRST_DIRECTORY


class _Reader:
    """Values of directories, and whether one of them could not be had."""

    def __init__(self, tiff: Tiff) -> None:
        self._tiff = tiff
        self.is_cut = False

    def entries(self, offset: int, wanted: Collection[int]) -> dict[int, Entry]:
        """The entries of a directory's wanted tags."""
        try:
            return self._tiff.directory(offset, wanted).entries
        except MoreBytesError as more:
            self._give_up(more)
            return {}

    def values(self, entries: dict[int, Entry]) -> dict[int, Any]:
        """The values of entries."""
        found: dict[int, Any] = {}
        for tag, entry in entries.items():
            try:
                value = _value(self._tiff, entry)
            except MoreBytesError as more:
                self._give_up(more)
            else:
                if value is not None:
                    found[tag] = value
        return found

    def by_maker(
        self, read: Callable[[Tiff, Entry, str], _T], notes: Entry, make: str
    ) -> _T | None:
        """What the notes of the camera's maker say."""
        try:
            return read(self._tiff, notes, make)
        except MoreBytesError as more:
            self._give_up(more)
            return None

    def _give_up(self, more: MoreBytesError) -> None:
        if self._tiff.window.may_ask(more, MAX_HEADER_BYTES):
            raise more
        self.is_cut = True


def _value(tiff: Tiff, entry: Entry) -> Any:
    """Text, a number, or a list of numbers. None for what has no value."""
    if entry.tag in _WINDOWS:
        text = tiff.raw(entry, _MAX_VALUE_BYTES).decode("utf-16-le", "ignore")
        return clean(text.partition("\0")[0], MAX_DESCRIPTION)
    if entry.type in _TEXTS:
        raw = tiff.raw(entry, _MAX_VALUE_BYTES)
        if entry.tag in _SEVERAL:
            parts = (part.strip() for part in raw.split(b"\0"))
            return clean(decoded(b"; ".join(part for part in parts if part)), MAX_DESCRIPTION)
        return clean(decoded(raw.partition(b"\0")[0]), MAX_DESCRIPTION)
    if entry.type == UNDEFINED:
        raw = tiff.raw(entry, _MAX_VALUE_BYTES)
        return _user_comment(raw, tiff.order) if entry.tag == _USER_COMMENT else _undefined(raw)
    return _numeric(tiff, entry) if 0 < entry.length <= _MAX_VALUES else None


def _numeric(tiff: Tiff, entry: Entry) -> float | list[float]:
    numbers: Sequence[float] = tiff.numbers(entry)
    if entry.type in RATIONALS:
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        numbers = [top / bottom if bottom else math.nan for top, bottom in pairs]
    return numbers[0] if len(numbers) == 1 else list(numbers)


def _is_json(value: Any) -> bool:
    """Whether JSON has such a value: one over nothing is no number."""
    if isinstance(value, list):
        return all(map(_is_json, value))
    return not isinstance(value, float) or math.isfinite(value)


def _undefined(raw: bytes) -> Any:
    """Bytes whose meaning each tag defines: a single number, a version or text, or nothing."""
    if len(raw) == 1:
        return raw[0]
    text = raw.rstrip(b"\0")
    return text.decode("ascii") if 0 < len(text) <= 64 and _is_printable(text) else None


def _is_printable(text: bytes) -> bool:
    return text.isascii() and text.decode("ascii").isprintable()


def _user_comment(raw: bytes, order: str) -> str | None:
    """The comment behind the eight bytes that name its encoding."""
    name, text = raw[:8].rstrip(b"\0 "), raw[8:]
    if name == b"UNICODE":
        is_big = order == ">"
        if text[:2] in {b"\xff\xfe", b"\xfe\xff"}:
            is_big, text = text[:2] == b"\xfe\xff", text[2:]
        written = text.decode("utf-16-be" if is_big else "utf-16-le", "ignore")
    elif name == b"JIS":
        written = text.decode("iso2022_jp", "ignore")
    elif name in {b"ASCII", b""}:
        written = decoded(text.rstrip(b"\0 "))
    else:
        written = decoded(raw)
    return clean(written.partition("\0")[0], MAX_DESCRIPTION)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _list(values: dict[int, Any], *tags: int) -> list[str]:
    """The first of these texts that there is, at its semicolons."""
    text = next((text for tag in tags if (text := _text(values.get(tag)))), "")
    return re.split(r"\s*;\s*", text) if text else []


def _within(value: Any, least: int, most: int) -> int | None:
    return value if isinstance(value, int) and least <= value <= most else None


def _rating(values: dict[int, Any]) -> int | None:
    """Stars; else Windows' percentages, which are 1, 25, 50, 75 and 99."""
    stars = _within(values.get(_RATING), 0, 5)
    percent = _within(values.get(_RATING_PERCENT), 0, 100)
    if stars is not None or not percent:
        return percent if stars is None else stars
    return 1 + (percent + 1) // 25


def _taken(values: dict[int, Any]) -> Moment | None:
    """When the shutter opened; else when a picture on film was digitised."""
    for date_tag, offset_tag, fraction_tag in (
        (Base.DateTimeOriginal, Base.OffsetTimeOriginal, Base.SubsecTimeOriginal),
        (Base.DateTimeDigitized, Base.OffsetTimeDigitized, Base.SubsecTimeDigitized),
    ):
        written = _text(values.get(date_tag))
        taken = written and moment(
            written,
            offset=_text(values.get(offset_tag)),
            fraction=_text(values.get(fraction_tag)),
        )
        if taken:
            return taken
    return None


def _position(gps: dict[int, Any]) -> position.Position | None:
    return position.from_exif(
        _numbers(gps.get(GPS.GPSLatitude)),
        _text(gps.get(GPS.GPSLatitudeRef)),
        _numbers(gps.get(GPS.GPSLongitude)),
        _text(gps.get(GPS.GPSLongitudeRef)),
    )


def _numbers(value: Any) -> list[float]:
    if isinstance(value, str):
        return position.numbers(value)
    several = value if isinstance(value, list) else [value]
    return [number for number in several if isinstance(number, int | float)]
