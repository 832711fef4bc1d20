"""Positions as EXIF, XMP and QuickTime write them."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_enricher.probe.metadata.position import Position, from_exif, from_iso6709, from_xmp
from tests.probe.carriers import exif_in_jpeg, text, tiff
from tests.probe.samples import OPTIONS, full

WITH_LOCATION = msgspec.structs.replace(OPTIONS, location=True)
PARIS = Position(48.858222, 2.2945)
NAN = math.nan


@pytest.mark.parametrize(
    ("latitude", "north", "longitude", "east", "right"),
    [
        ([48, 51, 29.5992], "N", [2, 17, 40.2], "E", PARIS),
        ([48, 51.49332], "N", [2, 17.67], "E", PARIS),
        ([48.858222], "N", [2.2945], "E", PARIS),
        ([48, 51.49332, NAN], "N\0", [2, 17.67, NAN], "e", PARIS),
        ([48.858222, 0, 0], "S", [2.2945, 0, 0], "W", Position(-48.858222, -2.2945)),
        ([NAN, NAN, NAN], "N", [NAN, NAN, NAN], "E", None),
        ([48, 51, 29], None, [2, 17, 40], None, None),
        ([48, 51, 29], "N", [], "E", None),
        ([91], "N", [2], "E", None),
        ([48], "N", [181], "E", None),
        ([-48], "N", [2], "E", None),
        ([48], "E", [2], "N", None),
        ([48, 51, 29, 1], "N", [2], "E", None),
    ],
)
def test_exif(
    latitude: list[float],
    north: str | None,
    longitude: list[float],
    east: str | None,
    right: Position | None,
) -> None:
    assert from_exif(latitude, north, longitude, east) == right


@pytest.mark.parametrize(
    ("latitude", "longitude", "right"),
    [
        ("48,51,29.5992", "2,17,40.2", PARIS),
        ("48 51.49332", "2;17.67", PARIS),
        ("48.858222", "2.2945", PARIS),
        ("48,00000,51,00000,29,59920", "2,00000,17,00000,40,20000", PARIS),
        ("48,51,29.5992,1", "2", None),
        ("north", "2", None),
        ("", "2", None),
    ],
)
def test_exif_as_text(latitude: str, longitude: str, right: Position | None) -> None:
    gps = {1: text("N"), 2: text(latitude), 3: text("E"), 4: text(longitude)}
    found = full(exif_in_jpeg(tiff(gps=gps)), options=WITH_LOCATION)
    assert (found.latitude, found.longitude) == (right or (None, None))
    assert found.has_location is (right is not None)


@pytest.mark.parametrize(
    ("latitude", "longitude", "right"),
    [
        ("48,51.49332N", "2,17.67E", PARIS),
        ("48,51,29.5992N", "2,17,40.2E", PARIS),
        ("48.858222N", "2.2945E", PARIS),
        ("48.858222", "-2.2945", Position(48.858222, -2.2945)),
        ("48,51.49332S", "2,17.67W", Position(-48.858222, -2.2945)),
        ("48,51.49332", "2,17.67", None),
        ("48,51.49332N", None, None),
        ("", "", None),
        ("north", "east", None),
        ("95,0N", "2,0E", None),
    ],
)
def test_xmp(latitude: str | None, longitude: str | None, right: Position | None) -> None:
    assert from_xmp(latitude, longitude) == right


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("+48.858222+002.2945+035.2/", PARIS),
        ("+48.858222+002.2945/", PARIS),
        ("+48.858222+002.2945", PARIS),
        ("+4851.49332+00217.67/", PARIS),
        ("+485129.5992+0021740.2+35/", PARIS),
        ("-33.8588+151.2150CRSWGS_84/", Position(-33.8588, 151.215)),
        ("+48.858222+002.2945+035.2CRSWGS_84/", PARIS),
        ("+00+000/", Position(0, 0)),
        ("+91.0+002.0/", None),
        ("48.8,2.2", None),
        ("+48.8", None),
        ("", None),
    ],
)
def test_quicktime(written: str, right: Position | None) -> None:
    assert from_iso6709(written) == right


@given(st.text(max_size=120), st.text(max_size=120))
def test_no_text_is_too_odd(one: str, other: str) -> None:
    from_iso6709(one)
    from_xmp(one, other)
