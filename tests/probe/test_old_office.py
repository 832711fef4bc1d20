"""Word, Excel and PowerPoint before 2007: their type by the directory, and what they say."""

from __future__ import annotations

import struct

import pytest

from media_enricher.models import AssetStatus, ErrorCode, Findings, Kind
from tests.probe.compound import SECTOR, WORD, compound_file, property_set
from tests.probe.samples import full, header

pytestmark = pytest.mark.unit

SUMMARY, DOCUMENT = "\x05SummaryInformation", "\x05DocumentSummaryInformation"
SAID: dict[int, str | int] = {
    2: "Ein Häuschen", 3: "A subject", 4: "Ada; Grace", 5: "harbour, night", 6: "A comment", 14: 7,
}  # fmt: skip


def both(data: bytes, path: str = "file") -> list[Findings]:
    return [full(data, path), header(data, path)[0]]


@pytest.mark.parametrize(
    ("stream", "content_type", "name"),
    [
        ("WordDocument", "application/msword", "doc"),
        ("Workbook", "application/vnd.ms-excel", "xls"),
        ("Book", "application/vnd.ms-excel", "xls"),
        ("PowerPoint Document", "application/vnd.ms-powerpoint", "ppt"),
    ],
)
@pytest.mark.parametrize("path", ["file", "wrong.xls", "wrong.docx"])
def test_the_directory_says_the_type(stream: str, content_type: str, name: str, path: str) -> None:
    data = compound_file({stream: WORD, SUMMARY: property_set(SAID)})
    for found in both(data, path):
        assert (found.status, found.kind) == (AssetStatus.ENRICHED, Kind.DOCUMENT)
        assert (found.content_type, found.format) == (content_type, name)
        assert (found.title, found.creator) == ("Ein Häuschen", "Ada; Grace")
        assert (found.description, found.tags) == ("A comment", ["harbour", "night"])
        assert found.page_count == 7


def test_slides_are_counted() -> None:
    streams = {"PowerPoint Document": WORD, DOCUMENT: property_set({7: 12})}
    for found in both(compound_file(streams)):
        assert found.page_count == 12


@pytest.mark.parametrize("length", [0, 5_000], ids=["small stream", "stream of its own"])
@pytest.mark.parametrize(
    ("code_page", "encoding", "title"),
    [
        (1252, "cp1252", "Häuser"),
        (1251, "cp1251", "Дом"),
        (932, "cp932", "家"),
        (10000, "mac_roman", "Häuser"),
        (65001, "utf-8", "家 Дом"),
        (1200, "utf-16-le", "家 Дом"),
    ],
)
def test_texts_are_in_the_code_page_that_is_said(
    code_page: int, encoding: str, title: str, length: int
) -> None:
    said = property_set({2: title}, code_page=code_page, encoding=encoding)
    data = compound_file({"Workbook": WORD, SUMMARY: said.ljust(length, b"\0")})
    for found in both(data):
        assert found.title == title


def test_a_word_document_says_whether_it_needs_a_password() -> None:
    for flags, expected in ((0, False), (0x0100, True)):
        word = WORD[:10] + struct.pack("<H", flags) + WORD[12:]
        for found in both(compound_file({"WordDocument": word})):
            assert found.is_encrypted is expected
    for found in both(compound_file({"Workbook": WORD})):
        assert found.is_encrypted is None


def test_other_compound_files_have_a_type_and_no_reader() -> None:
    installer = bytes.fromhex("84100c0000000000c000000000000046")
    for data, content_type in (
        (compound_file({"a": WORD}, class_id=installer), "application/x-msi"),
        (compound_file({"a": WORD}), "application/x-ole-storage"),
        (compound_file({"__properties_version1.0": WORD}), "application/vnd.ms-outlook"),
    ):
        for found in both(data, "a.doc"):
            assert (found.status, found.content_type) == (AssetStatus.UNSUPPORTED, content_type)


def test_header_depth_reads_parts_of_a_large_document() -> None:
    data = compound_file({"WordDocument": WORD, SUMMARY: property_set(SAID)}, padding=3_000_000)
    found, read = header(data)
    assert (found.content_type, found.title) == ("application/msword", "Ein Häuschen")
    assert read < 300_000


def test_chains_that_are_loops_end() -> None:
    data = compound_file({"WordDocument": WORD, SUMMARY: property_set(SAID).ljust(5_000, b"\0")})
    table = len(data) - SECTOR
    for sector in range(20):  # each sector follows itself
        hurt = bytearray(data)
        hurt[table + 4 * sector : table + 4 * sector + 4] = struct.pack("<I", sector)
        for found in both(bytes(hurt)):
            assert found.error_code is not ErrorCode.PROBE_CRASHED


def test_a_document_that_is_cut_has_a_named_error() -> None:
    data = compound_file({"WordDocument": WORD, SUMMARY: property_set(SAID)})
    for share in (0.02, 0.3, 0.9):
        for found in both(data[: int(len(data) * share)], "a.doc"):
            assert found.status is not AssetStatus.ENRICHED
            assert found.error_code not in {None, ErrorCode.PROBE_CRASHED}


def test_no_damage_crashes_the_probe() -> None:
    data = compound_file({"WordDocument": WORD, SUMMARY: property_set(SAID)})
    interesting = [*range(0, SECTOR, 3), *range(len(data) - 5 * SECTOR, len(data), 7)]
    for at in interesting:
        for value in (0, 0xFF, data[at] ^ 0xFF):
            hurt = data[:at] + bytes((value,)) + data[at + 1 :]
            assert full(hurt).error_code is not ErrorCode.PROBE_CRASHED, at
