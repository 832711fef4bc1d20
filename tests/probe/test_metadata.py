"""What cameras, editors and people wrote into files."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

from media_enricher.models import AssetStatus
from media_enricher.probe.metadata import exif, icc, iptc, xmp
from media_enricher.probe.metadata.blocks import sort
from media_enricher.probe.metadata.values import Values
from tests.probe.samples import OPTIONS, full, header, photograph, saved

EXIF_IFD, GPS_IFD = 0x8769, 0x8825
FORMATS = ("jpeg", "png", "webp", "avif", "tiff")


def exif_block(base: dict[int, Any], camera: dict[int, Any], gps: dict[int, Any]) -> Image.Exif:
    block = Image.Exif()
    block.update(base)
    block.get_ifd(EXIF_IFD).update(camera)
    block.get_ifd(GPS_IFD).update(gps)
    return block


def read_exif(block: bytes) -> Values:
    """What EXIF says; nothing where the block is cut before its first directory."""
    return next((exif.read(tiff, tags=OPTIONS.exif_tags) for tiff in sort([block]).exif), Values())


CAMERA = exif_block(
    {0x010F: "Canon", 0x0110: "EOS R5", 0x010E: "A lake at dawn", 0x0131: "Firmware 1.2"},
    {
        0x9003: "2024:06:01 05:30:15",
        0x9011: "+02:00",
        0xA434: "RF24-105mm F4 L IS USM",
        0x829A: IFDRational(1, 250),
        0x829D: IFDRational(28, 10),
        0x8827: 400,
        0x920A: IFDRational(105, 1),
        0x9204: IFDRational(-2, 3),
        0x927C: b"maker note \x00\xff",
    },
    {1: "S", 2: (33.0, 51.0, 31.5), 3: "E", 4: (151.0, 12.0, 54.0)},
)


@pytest.mark.parametrize("name", FORMATS)
def test_capture_data_of_every_format_that_carries_it(name: str) -> None:
    data = saved(photograph(), name, exif=CAMERA.tobytes())
    for found in (full(data), header(data, path=f"a.{name}")[0]):
        assert found.status is AssetStatus.ENRICHED
        assert (found.camera_make, found.camera_model) == ("Canon", "EOS R5")
        assert found.lens == "RF24-105mm F4 L IS USM"
        assert found.taken_at == datetime(2024, 6, 1, 3, 30, 15, tzinfo=UTC)
        assert found.description == "A lake at dawn"
        assert found.exif is not None
        assert found.exif["ExposureTime"] == pytest.approx(0.004)
        assert found.exif["FNumber"] == pytest.approx(2.8)
        assert found.exif["ExposureBiasValue"] == pytest.approx(-0.6667, abs=1e-4)
        assert (found.exif["ISOSpeedRatings"], found.exif["FocalLength"]) == (400, 105.0)
        assert "MakerNote" not in found.exif, "only what is asked for is kept"


def test_location_is_kept_only_where_it_is_turned_on() -> None:
    data = saved(photograph(), "jpeg", exif=CAMERA)
    wants_gps = msgspec.structs.replace(
        OPTIONS, exif_tags=("GPSLatitude", "GPSInfo", "GPSLongitude", "Make")
    )
    closed = full(data, options=wants_gps)
    assert (closed.latitude, closed.longitude) == (None, None)
    assert closed.exif == {"Make": "Canon"}, "not through the list of tags either"
    opened = full(data, options=msgspec.structs.replace(OPTIONS, location=True))
    assert opened.latitude == pytest.approx(-33.85875)
    assert opened.longitude == pytest.approx(151.215)


def test_a_capture_time_without_an_offset_is_taken_for_utc() -> None:
    data = saved(photograph(), "jpeg", exif=exif_block({}, {0x9003: "2020:02:29 23:59:59"}, {}))
    assert full(data).taken_at == datetime(2020, 2, 29, 23, 59, 59, tzinfo=UTC)


def test_exif_values_are_json_whatever_the_camera_wrote() -> None:
    broken = exif_block(
        {
            0x010F: "A\x00rest",
            0x0110: "\x01Mod\ud800el".encode("utf-8", "surrogatepass").decode("latin-1"),
        },
        {0x829A: IFDRational(1, 0), 0x829D: IFDRational(0, 0), 0x9209: 16, 0x8827: (100, 200)},
        {},
    )
    found = read_exif(broken.tobytes())
    assert found.camera_make == "A"
    assert "ExposureTime" not in found.exif, "one over nothing is no number"
    assert "FNumber" not in found.exif
    assert found.exif["ISOSpeedRatings"] == [100, 200]
    msgspec.json.encode(found)


@given(st.binary(max_size=400), st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]))
def test_no_exif_block_is_too_broken(rest: bytes, start: bytes) -> None:
    found = read_exif(start + rest)
    msgspec.json.encode(found)
    assert found.orientation in {None, 1, 2, 3, 4, 5, 6, 7, 8}


@given(st.integers(0, 2_000), st.integers(0, 255))
def test_flipped_bytes_in_exif_never_raise(at: int, value: int) -> None:
    block = bytearray(CAMERA.tobytes())
    block[at % len(block)] = value
    msgspec.json.encode(read_exif(bytes(block)))


PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:exifEX="http://cipa.jp/exif/1.0/" exifEX:LensModel="A lens"
 xmlns:p="http://ns.adobe.com/photoshop/1.0/" p:DateCreated="2021-05-06T07:08:09+01:00">
<dc:title><rdf:Alt>
 <rdf:li xml:lang="de">Titel</rdf:li><rdf:li xml:lang="x-default">Title</rdf:li>
</rdf:Alt></dc:title>
<dc:description><rdf:Alt>
 <rdf:li xml:lang="x-default"> Words &amp; more </rdf:li>
</rdf:Alt></dc:description>
<dc:subject><rdf:Bag>
 <rdf:li>sea</rdf:li><rdf:li>Süd</rdf:li><rdf:li>sea</rdf:li><rdf:li/>
</rdf:Bag></dc:subject>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif", "png"])
def test_title_description_and_tags_of_xmp(name: str) -> None:
    from PIL.PngImagePlugin import PngInfo

    how: dict[str, Any] = {"xmp": PACKET.encode()}
    if name == "png":
        chunk = PngInfo()
        chunk.add_itxt("XML:com.adobe.xmp", PACKET, zip=True)
        how = {"pnginfo": chunk}
    found = full(saved(photograph(), name, **how))
    assert (found.title, found.description) == ("Title", "Words & more")
    assert found.tags == ["sea", "Süd"]
    assert found.lens == "A lens"
    assert found.taken_at == datetime(2021, 5, 6, 6, 8, 9, tzinfo=UTC)


def test_entities_in_xmp_are_never_expanded() -> None:
    laughs = (
        '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
        '<!ENTITY f SYSTEM "file:///etc/passwd">]>'
        '<x xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>&b;&f;</dc:title></x>'
    )
    assert xmp.read(laughs.encode()) == Values()


@given(st.binary(max_size=200))
def test_no_xmp_packet_is_too_broken(rest: bytes) -> None:
    packet = PACKET.encode()
    cut = len(rest) * 5
    msgspec.json.encode(xmp.read(packet[:cut] + rest + packet[cut + len(rest) :]))


def iptc_block(*datasets: tuple[int, int, bytes]) -> bytes:
    return b"".join(
        struct.pack(">BBBH", 0x1C, record, dataset, len(value)) + value
        for record, dataset, value in datasets
    )


def test_title_caption_and_keywords_of_iptc() -> None:
    block = iptc_block(
        (1, 90, b"\x1b%G"),
        (2, 5, "Übersicht".encode()),
        (2, 25, b"one"),
        (2, 25, "zwei ü".encode()),
        (2, 25, b"one\x00"),
        (2, 120, b"A caption\r\nof two lines"),
    )
    name = b"\x04odd!"
    resources = (
        b"8BIM" + b"\x03\xed" + name + b"\0" + struct.pack(">I", 3) + b"abc\0"
        b"8BIM\x04\x04\0\0" + struct.pack(">I", len(block)) + block
    )
    segment = b"Photoshop 3.0\0" + resources
    plain = saved(photograph(), "jpeg")
    data = plain[:2] + b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]
    found = full(data)
    assert found.title == "Übersicht"
    assert found.description == "A caption\nof two lines"
    assert found.tags == ["one", "zwei ü"]


def test_iptc_without_a_stated_encoding_is_read_as_utf8_or_latin() -> None:
    found = iptc.read(iptc_block((2, 25, "Süd".encode()), (2, 25, "Süd".encode("latin-1"))))
    assert found.tags == ["Süd", "Süd"]


@given(st.binary(max_size=300))
def test_no_iptc_block_is_too_broken(rest: bytes) -> None:
    iptc.read(rest)
    iptc.read(b"\x1c" + rest)
    sort([b"8BIM\x04\x04" + rest])


def test_texts_fit_into_a_database() -> None:
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_itxt("Title", "A\u0000B\u0007 \u00a0" + "x" * 2_000)
    texts.add_text("Description", "  \n ")
    found = full(saved(photograph(), "png", pnginfo=texts))
    assert found.title is not None
    assert found.title.startswith("AB ")
    assert len(found.title) == 500
    assert found.description is None


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "avif", "tiff"])
def test_the_colour_profile_by_its_own_name(name: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    expected = ImageCms.getProfileDescription(
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    )
    data = saved(photograph(), name, icc_profile=profile)
    assert full(data).icc_profile == expected.strip()
    assert header(data, path=f"a.{name}")[0].icc_profile == expected.strip()


def test_an_icc_profile_of_the_older_version() -> None:
    text = b"desc\0\0\0\0" + struct.pack(">I", 11) + b"Display P3\0" + bytes(70)
    profile = bytearray(128)
    profile[36:40] = b"acsp"
    table = struct.pack(">I4sII", 1, b"desc", 144, len(text))
    assert icc.description(bytes(profile) + table + text) == "Display P3"


@given(st.binary(max_size=200), st.integers(0, 255))
def test_no_colour_profile_is_too_broken(rest: bytes, at: int) -> None:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[at : at + len(rest)] = rest
    profile[36:40] = b"acsp"
    icc.description(bytes(profile))
