"""Capture times as cameras, editors and people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_enricher.probe.metadata.times import minutes_east, moment
from tests.probe import carriers
from tests.probe.carriers import datasets, packet, segment, text, tiff
from tests.probe.samples import full


@pytest.mark.parametrize(
    "written",
    [
        "2007:06:30 18:45:17",
        "2007/06/30 18:45:17",
        "2007-06-30T18:45:17",
        "2007.06.30 18.45.17",
        "2007: 6:30 18:45:17",
        "2007:06:30  18:45:17",
        "2007:06:30 18:45:17\0\0",
        "2007:06:30:18:45:17",
        "2007 06 30 18 45 17",
        " 2007:6:30 18:45:17 ",
        "20070630T184517",
        "20070630184517",
        "2007:06:30 06:45:17 PM",
        "2007:06:30 18:45:17.000",
    ],
)
def test_the_numbers_count_and_not_what_is_between_them(written: str) -> None:
    found = moment(written)
    assert found is not None
    assert found.at == datetime(2007, 6, 30, 18, 45, 17, tzinfo=UTC)
    assert found.offset is None, "an unknown offset is not that of UTC"


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("2015:08:22 24:08:19", datetime(2015, 8, 22, 0, 8, 19, tzinfo=UTC)),
        ("2015:08:22 12:08:19 AM", datetime(2015, 8, 22, 0, 8, 19, tzinfo=UTC)),
        ("2015:08:22 12:08", datetime(2015, 8, 22, 12, 8, tzinfo=UTC)),
        ("2015:08:22 12:08:60", datetime(2015, 8, 22, 12, 8, 59, tzinfo=UTC)),
        ("2015-08-22", datetime(2015, 8, 22, tzinfo=UTC)),
        ("20150822", datetime(2015, 8, 22, tzinfo=UTC)),
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("0001:01:01 00:00:00", None),
        ("2020:13:45 99:99:99", None),
        ("2015:08:22 25:00:00", None),
        ("2015:08:22 12:08:61", None),
        ("30/06/2007 18:45:17", None),
        ("06/30/2007", None),
        ("2007", None),
        ("2007-06", None),
        ("", None),
        ("yesterday", None),
    ],
)
def test_odd_times(written: str, at: datetime | None) -> None:
    found = moment(written)
    assert (found and found.at) == at


@pytest.mark.parametrize(
    ("written", "offset", "minutes"),
    [
        ("2020:01:02 03:04:05", "-05:30", -330),
        ("2020:01:02 03:04:05", "+0200", 120),
        ("2020:01:02 03:04:05", "+02", 120),
        ("2020:01:02 03:04:05", "+2:00", 120),
        ("2020:01:02 03:04:05", " +02:00 ", 120),
        ("2020:01:02 03:04:05", "Z", 0),
        ("2020:01:02 03:04:05", "+00:00", 0),
        ("2020:01:02 03:04:05", "   :  ", None),
        ("2020:01:02 03:04:05", "nonsense", None),
        ("2020:01:02 03:04:05", "+99:00", None),
        ("2020:01:02 03:04:05", None, None),
        ("2020-01-02T03:04:05+02:00", None, 120),
        ("2020-01-02T03:04:05.5-0330", "+01:00", -210),
        ("2020-01-02T03:04:05Z", None, 0),
        ("2020:01:02 03:04:05+0200", None, 120),
        ("20200102T030405Z", None, 0),
    ],
)
def test_the_offset_from_utc(written: str, offset: str | None, minutes: int | None) -> None:
    found = moment(written, offset=offset)
    assert found is not None
    assert found.offset == minutes
    assert found.at.utcoffset() == timedelta(minutes=minutes or 0)
    assert found.at.hour == 3, "the clock's time stands, whatever its offset"


@pytest.mark.parametrize(
    ("fraction", "milliseconds"),
    [("67", 670), ("6", 600), ("678", 678), ("6789", 678), ("67 ", 670), ("  ", 0), ("x", 0)],
)
def test_milliseconds(fraction: str, milliseconds: int) -> None:
    found = moment("2020:01:02 03:04:05", fraction=fraction)
    assert found is not None
    assert found.at.microsecond == milliseconds * 1000
    within = moment(f"2020-01-02T03:04:05.{fraction.strip()}")
    assert within is None or within.at.microsecond == milliseconds * 1000


@given(st.text(max_size=60), st.none() | st.text(max_size=8), st.none() | st.text(max_size=8))
def test_any_text_is_a_moment_that_every_zone_can_show_or_none(
    written: str, offset: str | None, fraction: str | None
) -> None:
    found = moment(written, offset=offset, fraction=fraction)
    if found is not None:
        found.at.astimezone(UTC)
        found.at.astimezone(timezone(timedelta(hours=14)))
    minutes = minutes_east(offset)
    assert minutes is None or -1440 < minutes < 1440


ORIGINAL = {0x9003: text("2001:01:01 01:01:01")}
DIGITISED = {0x9004: text("2002:02:02 02:02:02"), 0x9012: text("+02:00")}
EMPTY = {0x9003: text("0000:00:00 00:00:00")}
IPTC = segment(
    0xED,
    b"Photoshop 3.0\0" + carriers.resource(0x0404, datasets((55, "20030303"), (60, "030303-0300"))),
)
XMP = segment(
    0xE1,
    b"http://ns.adobe.com/xap/1.0/\0"
    + packet("<exif:DateTimeOriginal>2004-04-04T04:04:04Z</exif:DateTimeOriginal>"),
)


def app1(camera: dict[int, Any]) -> bytes:
    return segment(0xE1, b"Exif\0\0" + tiff(camera=camera))


@pytest.mark.parametrize(
    ("segments", "year", "offset"),
    [
        ([XMP, IPTC, app1(ORIGINAL | DIGITISED)], 2001, None),
        ([XMP, IPTC, app1(EMPTY | DIGITISED)], 2002, 120),
        ([XMP, IPTC, app1(EMPTY)], 2003, -180),
        ([XMP, app1(EMPTY)], 2004, 0),
        ([app1(EMPTY)], None, None),
    ],
)
def test_the_original_goes_first_then_digitised_then_iptc_then_xmp(
    segments: list[bytes], year: int | None, offset: int | None
) -> None:
    found = full(carriers.jpeg(*segments))
    assert (found.taken_at and found.taken_at.year) == year
    assert found.taken_at_offset == offset
