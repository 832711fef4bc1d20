"""PDF, Office, OpenDocument and EPUB: what they say, at both depths and when damaged."""

from __future__ import annotations

import msgspec
import pytest

from media_enricher.models import AssetStatus, ErrorCode, Findings, Kind
from media_enricher.probe import probe_full
from media_enricher.probe.document import pdf as pdf_reader
from media_enricher.probe.zip_files import MAX_MEMBERS
from tests.probe.documents import (
    APP,
    BOOK,
    CORE,
    OPEN_DOCUMENT,
    WORD,
    book,
    encrypted_pdf,
    package,
    pdf,
    word,
)
from tests.probe.samples import OPTIONS, full, header

ODT = "application/vnd.oasis.opendocument.text"


def both(data: bytes) -> list[Findings]:
    return [full(data), header(data)[0]]


def test_a_pdf_says_its_pages_size_and_texts() -> None:
    for found in both(pdf(pages=3)):
        assert (found.status, found.kind, found.format) == (
            AssetStatus.ENRICHED,
            Kind.DOCUMENT,
            "pdf",
        )
        assert found.page_count == 3
        assert (found.page_width_points, found.page_height_points) == (200, 100)
        assert (found.title, found.description, found.creator) == (
            "A title",
            "What it says",
            "Ada",
        )
        assert found.tags == ["harbour", "night"]
        assert found.is_encrypted is False
        assert (found.width, found.text_excerpt) == (None, None)


@pytest.mark.parametrize(("rotate", "size"), [(0, (200, 100)), (90, (100, 200)), (180, (200, 100))])
def test_a_page_has_its_size_as_displayed(rotate: int, size: tuple[int, int]) -> None:
    for found in both(pdf(rotate=rotate)):
        assert (found.page_width_points, found.page_height_points) == size


def test_the_first_page_gives_colours_and_placeholders() -> None:
    found = full(pdf())
    assert found.dominant_color == "#ff0000"
    assert found.blurhash
    assert found.thumbhash
    assert found.phash


def test_a_pdf_with_a_password_says_so_and_one_without_opens() -> None:
    """What is encrypted with an empty password, every viewer opens without asking."""
    for found in both(encrypted_pdf(b"")):
        assert (found.status, found.is_encrypted) == (AssetStatus.ENRICHED, False)
        assert (found.title, found.page_count) == ("A title", 1)
    assert full(encrypted_pdf(b"")).dominant_color == "#ff0000"
    for found in both(encrypted_pdf(b"secret")):
        assert (found.status, found.is_encrypted) == (AssetStatus.ENRICHED, True)
        assert (found.title, found.page_count, found.dominant_color) == (None, None, None)


def test_a_page_has_its_size_in_its_own_units() -> None:
    """`UserUnit` says how many points a unit is; PDFium and Poppler leave it out of account."""
    data = pdf().replace(b"/Type/Page/Parent", b"/Type/Page/UserUnit 2/Parent")
    for found in both(data):
        assert (found.page_width_points, found.page_height_points) == (200, 100)


def test_the_text_is_kept_where_that_is_turned_on() -> None:
    options = msgspec.structs.replace(OPTIONS, text_excerpt=True)
    found = probe_full(pdf(), path="a", declared_content_type=None, options=options)
    assert isinstance(found, Findings)
    assert found.text_excerpt == "Hello"


def test_header_depth_reads_parts_of_a_large_pdf() -> None:
    data = pdf(padding=5_000_000)
    found, read = header(data)
    assert (found.page_count, found.title) == (1, "A title")
    assert read < 200_000


@pytest.mark.parametrize("cut", [100, 300, 500])
def test_a_pdf_that_is_cut_is_truncated(cut: int) -> None:
    for found in both(pdf()[:cut]):
        assert (found.status, found.error_code) == (AssetStatus.FAILED, ErrorCode.TRUNCATED)
        assert found.content_type == "application/pdf"
        assert found.is_encrypted is None


def test_a_pdf_without_pages_is_corrupt() -> None:
    for found in both(b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"):
        assert (found.status, found.error_code) == (AssetStatus.FAILED, ErrorCode.CORRUPT)


def test_pictures_of_too_many_pixels_are_not_drawn_and_the_rest_is_kept() -> None:
    image = (
        b"q 200 0 0 100 0 0 cm BI /W 20000 /H 20000 /BPC 1 /CS /G /F /Fl ID "
        b"x\x9c\x03\x00\x00\x00\x00\x01 EI Q"
    )
    found = full(pdf(content=image))
    assert (found.status, found.error_code) == (AssetStatus.FAILED, ErrorCode.TOO_MANY_PIXELS)
    assert (found.page_count, found.title) == (1, "A title")


def test_without_pdfium_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_reader, "IS_INSTALLED", False)
    found = full(pdf())
    assert (found.status, found.error_code) == (
        AssetStatus.UNSUPPORTED,
        ErrorCode.UNSUPPORTED_TYPE,
    )
    assert "the extra pdf" in (found.error_message or "")


def test_a_word_document_says_its_pages_and_texts() -> None:
    for found in both(word()):
        assert (found.status, found.format, found.page_count) == (AssetStatus.ENRICHED, "docx", 7)
        assert (found.title, found.creator) == ("A title", "Ada; Grace")
        assert found.tags == ["harbour", "night"]


def test_a_presentations_slides_are_counted() -> None:
    slides = {f"ppt/slides/slide{number}.xml": "" for number in range(1, 5)}
    for found in both(package(slides | {"docProps/core.xml": CORE})):
        assert (found.format, found.page_count, found.title) == ("pptx", 4, "A title")


def test_a_sheet_has_no_pages() -> None:
    for found in both(package({"xl/workbook.xml": "", "docProps/core.xml": CORE})):
        assert (found.format, found.page_count, found.title) == ("xlsx", None, "A title")


def test_an_open_document_says_its_pages_and_texts() -> None:
    for found in both(package(OPEN_DOCUMENT, ODT)):
        assert (found.format, found.page_count) == ("odt", 3)
        assert (found.title, found.creator, found.tags) == ("A title", "Ada", ["harbour"])


def test_an_encrypted_open_document_is_no_damaged_one() -> None:
    manifest = (
        '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
        "<manifest:file-entry><manifest:encryption-data/></manifest:file-entry></manifest:manifest>"
    )
    files: dict[str, str | bytes] = {"META-INF/manifest.xml": manifest, "meta.xml": b"\x8f\x12"}
    for found in both(package(files, ODT)):
        assert (found.status, found.is_encrypted) == (AssetStatus.ENRICHED, True)


def test_a_book_says_its_texts_and_shows_its_cover() -> None:
    for found in both(book()):
        assert (found.format, found.page_count) == ("epub", None)
        assert (found.title, found.creator, found.tags) == ("A title", "Ada; Grace", ["harbour"])
    assert full(book()).blurhash
    assert header(book())[0].blurhash is None


HOSTILE: dict[str, bytes] = {
    "zip bomb": package(WORD | {"docProps/core.xml": CORE + " " * 20_000_000}),
    "entities": package(WORD | {"docProps/core.xml": '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'}),
    "nested": package(WORD | {"docProps/core.xml": "<a>" * 100_000}),
    "endless elements": package(WORD | {"docProps/core.xml": f"<a>{'<b/>' * 60_000}</a>"}),
    "no XML": package(WORD | {"docProps/core.xml": "words"}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_bomb_has_a_named_error_and_what_could_be_read_is_kept(name: str) -> None:
    for found in both(HOSTILE[name]):
        assert (found.status, found.error_code) == (AssetStatus.FAILED, ErrorCode.CORRUPT)
        assert (found.format, found.page_count) == ("docx", 7)
        assert "docProps/core.xml" in (found.error_message or "")


def test_a_directory_without_end_is_read_to_a_limit() -> None:
    files = {f"{number}": "" for number in range(MAX_MEMBERS + 10)}
    for found in both(package({"word/document.xml": ""} | files | {"docProps/app.xml": APP})):
        assert (found.status, found.page_count) == (AssetStatus.ENRICHED, None)


@pytest.mark.parametrize("cut", [22, 100, 300])
def test_a_package_that_is_cut_is_truncated(cut: int) -> None:
    for found in both(word()[:-cut]):
        assert (found.status, found.error_code) == (AssetStatus.FAILED, ErrorCode.TRUNCATED)
        assert found.format == "docx"


def test_a_book_without_its_parts_is_corrupt() -> None:
    without = {name: part for name, part in BOOK.items() if name.endswith(".xml")}
    for files in ({}, without):
        found = full(package(files, "application/epub+zip"))
        assert (found.status, found.error_code) == (AssetStatus.FAILED, ErrorCode.CORRUPT)


@pytest.mark.parametrize("data", [pdf(pages=2), word(), book()], ids=["pdf", "docx", "epub"])
def test_no_damage_crashes_the_probe(data: bytes) -> None:
    for at in range(0, len(data), max(len(data) // 150, 1)):
        for found in both(data[:at] + bytes((data[at] ^ 0xFF,)) + data[at + 1 :]):
            assert found.error_code is not ErrorCode.PROBE_CRASHED, (at, found.error_message)
