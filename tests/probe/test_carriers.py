"""Metadata by container: format x carrier x field. Whatever carries a block, all of it is read."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from media_enricher.models import AssetStatus, ErrorCode, Findings
from tests.probe import carriers
from tests.probe.carriers import datasets, items, language, packet, rationals, text, tiff
from tests.probe.samples import OPTIONS, full, header

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

WITH_LOCATION = msgspec.structs.replace(OPTIONS, location=True)
LOCAL = timezone(timedelta(hours=2))
TAKEN = datetime(2021, 2, 3, 4, 5, 6, 670_000, LOCAL)

EXIF_RIGHT: dict[str, Any] = {
    "camera_make": "Acme",
    "camera_model": "Z9",
    "lens": "50 mm",
    "description": "A caption",
    "title": "Grüße",
    "tags": ["harbour", "night"],
    "creator": "Ann; Bob",
    "copyright": "Ann; The Paper",
    "rating": 4,
    "taken_at": TAKEN,
    "taken_at_offset": 120,
    "has_location": True,
    "latitude": -48.858222,
    "longitude": 2.2945,
}


def exif(order: str = "<", *, is_big: bool = False, **more: Any) -> bytes:
    def windows(value: str) -> carriers.Entry:
        return 1, value.encode("utf-16-le") + b"\0\0"

    return tiff(
        order=order,
        is_big=is_big,
        base={
            0x010E: text("A caption"),
            0x010F: text("Acme"),
            0x0110: text("Z9"),
            0x013B: text("Ann; Bob"),
            0x8298: (2, b"Ann\0The Paper\0"),
            0x4746: (3, b"\4\0" if order == "<" else b"\0\4"),
            0x9C9B: windows("Grüße"),
            0x9C9E: windows("harbour;night"),
        }
        | more.pop("base", {}),
        camera={
            0x9003: text("2021:02:03 04:05:06"),
            0x9011: text("+02:00"),
            0x9291: text("67"),
            0xA434: text("50 mm"),
        },
        gps={
            1: text("S"),
            2: rationals((48, 1), (51, 1), (295992, 10000), order=order),
            3: text("E"),
            4: rationals((22945, 10000), order=order),
        },
        **more,
    )


XMP_RIGHT: dict[str, Any] = EXIF_RIGHT | {
    "title": "A title",
    "copyright": "Ann",
    "alt_text": "Boats in the dark",
    "license_url": "https://example.org/licence",
    "digital_source_type": "trainedAlgorithmicMedia",
    "is_ai_generated": True,
}
XMP = packet(
    language("dc:title", "A title")
    + language("dc:description", "A caption")
    + language("dc:rights", "Ann")
    + language("core:AltTextAccessibility", "Boats in the dark")
    + items("dc:subject", "harbour", "night")
    + items("dc:creator", "Ann", "Bob", kind="Seq")
    + "<xmp:Rating>4</xmp:Rating>"
    + '<cc:license rdf:resource="https://example.org/other"/>'
    + "<exif:GPSLatitude>48,51.49332S</exif:GPSLatitude>",
    'exif:GPSLongitude="2,17.67E" tiff:Make="Acme" tiff:Model="Z9" aux:Lens="50 mm" '
    'exif:DateTimeOriginal="2021-02-03T04:05:06.67+02:00" '
    'xmpRights:WebStatement="https://example.org/licence" '
    'ext:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"',
)

IPTC_RIGHT: dict[str, Any] = {
    "title": "A title",
    "description": "A caption",
    "tags": ["harbour", "night"],
    "creator": "Ann; Bob",
    "copyright": "Ann",
    "taken_at": datetime(2021, 2, 3, 4, 5, 6, tzinfo=LOCAL),
    "taken_at_offset": 120,
    "has_location": False,
}
IPTC = datasets(
    (5, "A title"),
    (25, "harbour"),
    (25, "night"),
    (55, "20210203"),
    (60, "040506+0200"),
    (80, "Ann"),
    (80, "Bob"),
    (116, "Ann"),
    (120, "A caption"),
)

TABLE = [
    *(
        (f"EXIF in {name}", carry, exif(), EXIF_RIGHT)
        for name, carry in carriers.EXIF_CARRIERS.items()
    ),
    *((f"XMP in {name}", carry, XMP, XMP_RIGHT) for name, carry in carriers.XMP_CARRIERS.items()),
    *(
        (f"IPTC in {name}", carry, IPTC, IPTC_RIGHT)
        for name, carry in carriers.IPTC_CARRIERS.items()
    ),
    *(
        (f"C2PA in {name}", carry, carriers.manifest(), {"has_content_credentials": True})
        for name, carry in carriers.MANIFEST_CARRIERS.items()
    ),
]


def differences(found: Findings, right: dict[str, Any]) -> dict[str, Any]:
    return {
        name: (getattr(found, name), value)
        for name, value in right.items()
        if getattr(found, name) != (pytest.approx(value) if isinstance(value, float) else value)
    }


@pytest.mark.parametrize(
    ("carry", "block", "right"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_every_field_is_read_whatever_carries_it(
    carry: carriers.Carrier, block: bytes, right: dict[str, Any]
) -> None:
    data = carry(block)
    for found in (full(data, options=WITH_LOCATION), header(data, options=WITH_LOCATION)[0]):
        assert differences(found, right) == {}
        assert (found.width, found.height) == (carriers.WIDTH, carriers.HEIGHT)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("is_big", [False, True])
def test_a_tiff_of_either_order_and_size_is_its_own_exif(order: str, is_big: bool) -> None:
    data = exif(
        order, is_big=is_big, base=carriers.picture_tags(order), pixels=carriers.picture().tobytes()
    )
    for found in (full(data, options=WITH_LOCATION), header(data, options=WITH_LOCATION)[0]):
        assert differences(found, EXIF_RIGHT) == {}


def test_a_file_without_metadata_says_that_there_is_no_position_and_no_manifest() -> None:
    found = full(carriers.jpeg())
    assert found.status is AssetStatus.ENRICHED
    assert (found.has_location, found.has_content_credentials) == (False, False)
    assert (found.is_ai_generated, found.taken_at_offset, found.tags) == (None, None, None)


def test_a_file_tells_that_it_has_a_position_and_not_where() -> None:
    for data in (carriers.exif_in_jpeg(exif()), carriers.xmp_in_jpeg(XMP)):
        found = full(data)
        assert (found.has_location, found.latitude, found.longitude) == (True, None, None)


def test_what_a_jpeg_2000_says_is_kept_where_its_picture_cannot_be_read() -> None:
    whole = carriers.XMP_CARRIERS["JPEG 2000"](XMP)
    found = full(whole.replace(b"jp2h", b"jp2i"))
    assert found.status == "failed"
    assert found.title == "A title"


@pytest.mark.parametrize("carry", carriers.XMP_CARRIERS.values(), ids=carriers.XMP_CARRIERS)
def test_a_carrier_of_xmp_may_hold_anything_else(carry: carriers.Carrier) -> None:
    for block in (b"", b"<", b"\0" * 40, b"8BIM\4\4", b"\x1c\2\5\0\5abc", b"\xff" * 600):
        found = full(carry(block))
        assert found.title is None
        assert found.error_code is not ErrorCode.PROBE_CRASHED


def test_every_encoding() -> None:
    check_encodings()


def check_encodings() -> None:
    """All of the table, and encodings that it lacks; also called where no file may be opened."""
    options = msgspec.structs.replace(WITH_LOCATION, exif_tags=("UserComment",))
    comment = b"JIS\0\0\0\0\0" + b"\x1b$B<L??\x1b(B"
    rows = [(carry(block), right) for _, carry, block, right in TABLE]
    in_japanese = carriers.exif_in_jpeg(tiff(camera={0x9286: (carriers.UNDEFINED, comment)}))
    rows.append((in_japanese, {"exif": {"UserComment": "写真"}}))
    for encoding in ("utf-32-be", "utf-32-le", "utf-16-be", "utf-16-le"):
        rows.append((carriers.xmp_in_jpeg(XMP.decode().encode(encoding)), {"title": "A title"}))
    for data, right in rows:
        assert differences(full(data, options=options), right) == {}
