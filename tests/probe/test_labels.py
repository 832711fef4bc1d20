"""Labels: each rule at its border, and what readers found stays."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from media_enricher.models import AssetStatus, Findings, Kind
from media_enricher.probe.fields.labels import BURST, label
from tests.probe.carriers import packet, xmp_in_jpeg
from tests.probe.samples import full, header, photograph, saved

PHOTOGRAPH: dict[str, Any] = {"width": 3000, "height": 2000, "camera_model": "X"}

HOLDS: list[tuple[str, dict[str, Any], str, str | None]] = [
    ("animated", {"is_animated": True}, "a.gif", None),
    ("greyscale", {"color_mode": "L"}, "a.jpg", None),
    ("greyscale", {"color_mode": "RGB", "palette": ["#101214", "#ffffff"]}, "a.jpg", None),
    ("landscape", {"width": 102, "height": 100}, "a.jpg", None),
    ("portrait", {"width": 100, "height": 102}, "a.jpg", None),
    ("square", {"width": 100, "height": 101}, "a.jpg", None),
    ("low-resolution", {"width": 399, "height": 10}, "a.jpg", None),
    ("mislabelled", {"content_type": "image/png"}, "a.jpg", "image/jpg"),
    ("panorama", PHOTOGRAPH | {"width": 4000}, "a.jpg", None),
    ("panorama", PHOTOGRAPH | {"height": 6000}, "a.jpg", None),
    ("screenshot", {}, "phone/Screenshot_20260101.png", None),
    ("screenshot", {}, "Screen Shot 2026-01-01.png", None),
    ("screenshot", {"exif": {"UserComment": "Screenshot"}}, "IMG_1.PNG", None),
    ("transparent", {"is_opaque": False}, "a.png", None),
    ("truncated-but-shown", {"warnings": ["truncated"]}, "a.jpg", None),
]
HOLDS_NOT: list[tuple[str, dict[str, Any], str, str | None]] = [
    ("animated", {"is_animated": False}, "a.gif", None),
    ("greyscale", {"color_mode": "RGB", "palette": ["#101215", "#ffffff"]}, "a.jpg", None),
    ("greyscale", {"color_mode": "RGB"}, "a.jpg", None),
    ("landscape", {"width": 101, "height": 100}, "a.jpg", None),
    ("square", {"width": 100, "height": 102}, "a.jpg", None),
    ("square", {}, "a.jpg", None),
    ("low-resolution", {"width": 400, "height": 10}, "a.jpg", None),
    ("low-resolution", {}, "a.mp3", None),
    ("low-resolution", {"width": 24, "height": 24, "format": "svg"}, "a.svg", None),
    ("mislabelled", {"content_type": "image/jpeg"}, "a.jpg", "image/jpg; x=y"),
    ("mislabelled", {"content_type": "image/png"}, "a.jpg", "application/octet-stream"),
    ("mislabelled", {"content_type": "image/heif"}, "a.heic", "image/heic"),
    ("mislabelled", {}, "a.jpg", "image/jpeg"),
    ("panorama", PHOTOGRAPH | {"width": 3999}, "a.jpg", None),
    ("panorama", {"width": 4000, "height": 1000}, "banner.png", None),
    ("screenshot", {}, "sunscreenshots.png", None),
    ("transparent", {"is_opaque": True}, "a.png", None),
    ("truncated-but-shown", {"warnings": ["damaged"]}, "a.jpg", None),
]


def labels(fields: dict[str, Any], path: str, declared: str | None) -> list[str]:
    found = Findings(status=AssetStatus.ENRICHED, kind=Kind.IMAGE, **fields)
    label(found, path, declared)
    return found.labels or []


@pytest.mark.parametrize(("name", "fields", "path", "declared"), HOLDS)
def test_a_rule_holds(name: str, fields: dict[str, Any], path: str, declared: str | None) -> None:
    assert name in labels(fields, path, declared)


@pytest.mark.parametrize(("name", "fields", "path", "declared"), HOLDS_NOT)
def test_a_rule_does_not_hold(
    name: str, fields: dict[str, Any], path: str, declared: str | None
) -> None:
    assert name not in labels(fields, path, declared)


def test_what_a_reader_found_stays_and_all_are_sorted() -> None:
    assert labels({"labels": [BURST], "width": 900, "height": 500}, "screenshot.png", None) == [
        "burst",
        "landscape",
        "screenshot",
    ]


def test_a_probe_labels_in_either_depth() -> None:
    drawn = saved(photograph(300, 200), "jpeg")
    assert full(drawn, "a.jpg").labels == ["landscape", "low-resolution"]
    assert header(drawn, "a.jpg")[0].labels == ["landscape", "low-resolution"]
    glass = Image.new("RGBA", (500, 500), (10, 20, 200, 90))
    assert full(saved(glass, "png"), "a.png").labels == ["square", "transparent"]


def test_nothing_known_is_no_label() -> None:
    assert labels({}, "a.bin", None) == []


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ('xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:BurstID="7"', "burst"),
        (
            'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:MotionPhoto="1"',
            "live-photo",
        ),
        ('xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"', "hdr"),
    ],
)
def test_what_phones_write_about_their_pictures_is_a_label(attributes: str, name: str) -> None:
    said = full(xmp_in_jpeg(packet(attributes=attributes)), "a.jpg").labels or []
    denied = attributes.rpartition('="')[0] + '="0"'
    assert name in said
    assert name not in (full(xmp_in_jpeg(packet(attributes=denied)), "a.jpg").labels or [])
