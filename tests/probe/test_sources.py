"""Which source goes first, the forms in which XMP says a thing, and what is no description."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest

from media_enricher.models import AssetStatus, Findings, Kind
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.metadata import xmp
from media_enricher.probe.metadata.sources import fill_metadata
from media_enricher.probe.metadata.texts import is_default_description
from media_enricher.probe.metadata.values import Values
from tests.probe import carriers
from tests.probe.carriers import datasets, items, language, packet, resource, segment, text, tiff
from tests.probe.samples import OPTIONS, full


def filled(*blocks: bytes, container: Values | None = None, is_cut: bool = False) -> Findings:
    findings = Findings(status=AssetStatus.ENRICHED, kind=Kind.IMAGE)
    fill_metadata(blocks, findings, OPTIONS, container=container, is_cut=is_cut)
    return findings


def test_texts_of_xmp_go_first_then_iptc_then_the_containers_then_exif() -> None:
    spoken = packet(language("dc:title", "XMP"))
    captioned = datasets((5, "IPTC"))
    camera = tiff(base={0x9C9B: (1, "EXIF".encode("utf-16-le"))})
    own = Values(title="own")
    assert filled(camera, captioned, spoken, container=own).title == "XMP"
    assert filled(camera, captioned, packet(), container=own).title == "IPTC"
    assert filled(camera, datasets((5, "  ")), container=own).title == "own"
    assert filled(camera).title == "EXIF"


@pytest.mark.parametrize(("is_current", "title"), [(True, "XMP"), (False, "IPTC")])
def test_iptc_that_was_changed_after_xmp_goes_first(is_current: bool, title: str) -> None:
    """The digest of the IPTC that XMP was made from (MWG 2.0, chapter 3)."""
    captioned = datasets((5, "IPTC"))
    digest = hashlib.md5(captioned if is_current else b"", usedforsecurity=False).digest()
    resources = resource(0x0404, captioned) + resource(0x0425, digest)
    assert filled(resources, packet(language("dc:title", "XMP"))).title == title


def test_keywords_of_iptc_and_xmp_are_joined_and_those_of_windows_are_a_last_resort() -> None:
    windows = tiff(base={0x9C9E: (1, "old;older".encode("utf-16-le"))})
    captioned, spoken = (
        datasets((25, "sea"), (25, "dawn")),
        packet(items("dc:subject", "sea", "sky")),
    )
    assert filled(windows, captioned, spoken).tags == ["sea", "dawn", "sky"]
    assert filled(windows).tags == ["old", "older"]


def test_what_was_not_seen_leaves_a_poorer_source_unsaid() -> None:
    captioned, spoken = datasets((5, "IPTC"), (25, "sea")), packet(language("dc:title", "XMP"))
    assert filled(captioned, is_cut=True).title is None
    assert filled(captioned, is_cut=True).tags is None
    assert filled(captioned, is_cut=True).has_location is None
    assert filled(captioned, is_cut=True).has_content_credentials is None
    assert filled(captioned, spoken, is_cut=True).title == "XMP", "no source goes before it"


@pytest.mark.parametrize(
    "default",
    [
        "OLYMPUS DIGITAL CAMERA         ",
        "SONY DSC",
        "SAMSUNG DIGITAL CAMERA",
        "KODAK Digital Still Camera",
        "KONICA MINOLTA DIGITAL CAMERA",
        "Digital camera",
        "DCF 1.0",
        "Exif_JPEG_PICTURE",
        "Exif JPEG",
        "<KENOX S630  / Samsung S630>",
        "<Digimax S500 / Kenox S500>",
        "File written by Adobe Photoshop\u00a8 4.0",
        "oznorCB",
        "cof",
    ],
)
def test_what_a_camera_writes_by_itself_is_no_description(default: str) -> None:
    assert is_default_description(default)
    block = tiff(base={0x010E: text(default.encode("ascii", "ignore").decode())})
    captioned = datasets((120, "A real one"))
    assert filled(block).description is None
    assert filled(block, captioned).description == "A real one"
    assert (
        filled(packet(language("dc:description", default.replace("<", "&lt;")))).description is None
    )


@pytest.mark.parametrize(
    "written", ["A digital camera on a table", "Sony", "Coffee", "My first digital camera, 1999"]
)
def test_what_people_write_is_a_description(written: str) -> None:
    assert filled(tiff(base={0x010E: text(written)})).description == written


def test_comments_are_no_descriptions() -> None:
    """Programs write them: encoders their names, generators their settings."""
    comment = tiff(camera={0x9286: (7, b"ASCII\0\0\0Screenshot")})
    data = carriers.jpeg(
        segment(0xFE, b"CREATOR: gd-jpeg v1.0"), segment(0xE1, b"Exif\0\0" + comment)
    )
    assert full(data).description is None


@pytest.mark.parametrize(
    ("raw", "right"),
    [
        (b"ASCII\0\0\0Screenshot", "Screenshot"),
        (b"UNICODE\0" + "Süd".encode("utf-16-le"), "Süd"),
        (b"UNICODE\0" + "Süd".encode("utf-16"), "Süd"),
        (b"\0" * 8 + b"plain  ", "plain"),
        (b"JIS\0\0\0\0\0" + "写真".encode("iso2022_jp"), "写真"),
        (b"ASCII\0\0\0", None),
    ],
)
def test_a_user_comment_is_kept_by_its_encoding_where_it_is_asked_for(
    raw: bytes, right: str | None
) -> None:
    findings = Findings(status=AssetStatus.ENRICHED)
    options = msgspec.structs.replace(OPTIONS, exif_tags=("UserComment",))
    fill_metadata([tiff(camera={0x9286: (7, raw)})], findings, options)
    assert (findings.exif or {}).get("UserComment") == right


SPACES = 'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:x="adobe:ns:meta/"'
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'


@pytest.mark.parametrize(
    "body",
    [
        '<rdf:Description dc:title="A title" dc:subject="sea"/>',
        "<rdf:Description><dc:title>A title</dc:title>"
        "<dc:subject>sea</dc:subject></rdf:Description>",
        "<rdf:Description><dc:title><rdf:Alt><rdf:li>A title</rdf:li></rdf:Alt></dc:title>"
        "<dc:subject><rdf:Seq><rdf:li>sea</rdf:li></rdf:Seq></dc:subject></rdf:Description>",
        '<rdf:Description><dc:title><rdf:Alt><rdf:li xml:lang="de">Titel</rdf:li>'
        '<rdf:li xml:lang="x-default">A title</rdf:li></rdf:Alt></dc:title>'
        "<dc:subject><rdf:Bag><rdf:li/><rdf:li>sea</rdf:li></rdf:Bag></dc:subject></rdf:Description>",
        "<rdf:Description/><rdf:Description dc:title='A title'/>"
        "<rdf:Description dc:subject='sea'/>",
        "<x:Picture><dc:title>A title</dc:title><dc:subject>sea</dc:subject></x:Picture>",
        '<rdf:Description><dc:title rdf:parseType="Resource"><rdf:value>A title</rdf:value>'
        "</dc:title><dc:subject>sea</dc:subject></rdf:Description>",
    ],
)
def test_every_form_that_rdf_allows(body: str) -> None:
    found = xmp.read(f"<x:xmpmeta {SPACES}><rdf:RDF {RDF}>{body}</rdf:RDF></x:xmpmeta>".encode())
    assert (found.title, [tag for tag in found.tags if tag]) == ("A title", ["sea"])


def test_a_picture_within_the_picture_has_its_own_title() -> None:
    inner = '<rdf:Description dc:title="Another"/>'
    body = f"<x:Pantry><rdf:Bag><rdf:li>{inner}</rdf:li></rdf:Bag></x:Pantry>"
    document = f"<rdf:RDF {RDF} {SPACES}><rdf:Description>{body}</rdf:Description></rdf:RDF>"
    assert xmp.read(document.encode()).title is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("mark", ["", "\ufeff", "\n"])
def test_every_encoding_of_a_packet(encoding: str, mark: str) -> None:
    plain = packet(language("dc:title", "Grüße")).decode()
    for document in (plain, plain[plain.index("<x:xmpmeta") :]):
        carried = carriers.xmp_in_jpeg((mark + document).encode(encoding))
        assert full(carried).title == "Grüße"


def test_a_packet_in_latin_although_it_should_not_be() -> None:
    assert (
        filled(packet(language("dc:title", "Grüße")).decode().encode("latin-1", "ignore")).title
        == "Grüße"
    )


@pytest.mark.parametrize(
    "junk", [b"\0\0junk", b"</x:xmpmeta>", b"<?xpacket end='w'?>", b" " * 4_000, b"<x:more/>", b"&"]
)
def test_what_follows_the_end_of_a_packet_is_passed_over(junk: bytes) -> None:
    assert filled(packet(language("dc:title", "A title")) + junk).title == "A title"


def test_of_a_packet_that_breaks_off_what_was_complete_counts() -> None:
    whole = packet(language("dc:title", "A title") + language("dc:description", "A long caption"))
    cut = whole[: whole.index(b"long")]
    found = filled(cut)
    assert (found.title, found.description) == ("A title", None)


def test_an_extended_packet_without_one_of_its_parts_is_none() -> None:
    block = packet(language("dc:title", "A title") + "<!--" + "x" * 2_000 + "-->")
    whole = carriers.extended_xmp(block)
    assert full(whole).title == "A title"
    part = whole.index(b"http://ns.adobe.com/xmp/extension/") - 4
    length = 2 + int.from_bytes(whole[part + 2 : part + 4], "big")
    assert full(whole[:part] + whole[part + length :]).title is None


@pytest.mark.parametrize(
    ("body", "rating"),
    [
        ("<xmp:Rating>5</xmp:Rating>", 5),
        ("<xmp:Rating>-1</xmp:Rating>", -1),
        ("<xmp:Rating>3.0</xmp:Rating>", 3),
        ("<xmp:Rating>6</xmp:Rating>", None),
        ("<xmp:Rating>good</xmp:Rating>", None),
        ("<ms:Rating>99</ms:Rating>", 5),
        ("<ms:Rating>50</ms:Rating>", 3),
        ("<ms:Rating>1</ms:Rating>", 1),
    ],
)
def test_ratings(body: str, rating: int | None) -> None:
    assert filled(packet(body)).rating == rating


@pytest.mark.parametrize(
    ("percent", "rating"), [(0, 0), (1, 1), (25, 2), (50, 3), (75, 4), (99, 5)]
)
def test_a_rating_of_windows_alone(percent: int, rating: int) -> None:
    assert filled(tiff(base={0x4749: (3, percent.to_bytes(2, "little"))})).rating == rating


@pytest.mark.parametrize(
    ("term", "last", "is_ai_generated"),
    [
        ("http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture", "digitalCapture", False),
        ("compositeWithTrainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", True),
        ("digsrctype:trainedAlgorithmicMedia", "trainedAlgorithmicMedia", True),
        (
            "https://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia/",
            "algorithmicMedia",
            False,
        ),
    ],
)
def test_the_digital_source_type(term: str, last: str, is_ai_generated: bool) -> None:
    found = filled(packet(attributes=f'ext:DigitalSourceType="{term}"'))
    assert (found.digital_source_type, found.is_ai_generated) == (last, is_ai_generated)


def test_texts_of_png() -> None:
    texts = {"Title": "A title", "DESCRIPTION": "Words", "Author": "Ann", "Copyright": "(c) Ann"}
    chunks = b"".join(
        carriers.chunk(b"tEXt", f"{name}\0{value}".encode()) for name, value in texts.items()
    )
    found = full(carriers.png(before=chunks))
    assert (found.title, found.description) == ("A title", "Words")
    assert (found.creator, found.copyright) == ("Ann", "(c) Ann")


def test_a_value_that_is_cut_is_no_value() -> None:
    block = datasets((120, "A caption"), (5, "A title"))
    assert filled(block[:-3]).title is None
    camera = bytearray(tiff(base={0x010E: text("A long caption")}))
    assert filled(bytes(camera)).description == "A long caption"
    camera[-8:-4] = (len(camera) - 4).to_bytes(4, "little")  # where the value is: past the end
    assert filled(bytes(camera)).description is None


def entry_of(tag: int, value: bytes) -> dict[int, Any]:
    return {tag: (3, value)}


def test_orientation_counts_in_the_first_directory_only() -> None:
    both = tiff(base=entry_of(0x0112, b"\1\0"), camera=entry_of(0x0112, b"\6\0"))
    found = full(carriers.exif_in_jpeg(both))
    assert (found.orientation, found.width) == (1, carriers.WIDTH)
    alone = tiff(camera=entry_of(0x0112, b"\6\0"))
    assert full(carriers.exif_in_jpeg(alone)).orientation is None


def test_a_file_that_consists_of_metadata_is_not_kept_whole() -> None:
    header = ImageHeader(format="jpeg")
    for _ in range(40):
        header.keep(bytes(1024 * 1024))
    assert len(header.blocks) == 16
    assert header.is_cut, "what else it may hold is not known"
