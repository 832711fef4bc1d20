"""Office files before 2007: what their property sets say (MS-OLEPS).

The streams named here are those of MS-OSHARED, 2.3.3.2; what a document shows is not read.
"""

from __future__ import annotations

import struct

from media_enricher.models import ErrorCode
from media_enricher.probe.compound_files import SIGNATURE, CompoundFile
from media_enricher.probe.document.header import DocumentHeader
from media_enricher.probe.document.office import split
from media_enricher.probe.source import UnreadableError, Window

_SUMMARY, _DOCUMENT = "\x05SummaryInformation", "\x05DocumentSummaryInformation"
_CODE_PAGE, _TITLE, _SUBJECT, _AUTHOR, _KEYWORDS, _COMMENTS, _PAGES = 1, 2, 3, 4, 5, 6, 14
_SLIDES = 7
"""Of the document's own set."""
_INT16, _INT32, _STRING, _WIDE_STRING = 2, 3, 30, 31
_SET_START = 48
"""Bytes of the head of a stream with one set or two, and of the place of the first."""
_MAX_PROPERTIES = 200
_MAX_TEXT = 64 * 1024
_CODE_PAGES = {
    **{number: f"cp{number}" for number in (437, 850, 852, 866, 874, 932, 936, 949, 950)},
    **{number: f"cp{number}" for number in range(1250, 1259)},
    1200: "utf-16-le",
    10000: "mac_roman",
    65001: "utf-8",
}
"""Windows' number -> Python's name."""
ENCODINGS = tuple(_CODE_PAGES.values())
"""To be loaded before a process may open no more files."""
_FIB = struct.Struct("<10xH")
_IS_ENCRYPTED = 0x0100
"""A flag of Word's file information block (MS-DOC, 2.5.2)."""


def read(window: Window, header: DocumentHeader) -> None:
    """Fill in title, author, keywords, and pages or slides.

    Raises:
        MoreBytesError: a stream is not held.
        UnreadableError: truncated or corrupt, or of an age that had no such files.
    """
    if window.read(0, min(len(SIGNATURE), window.size)) != SIGNATURE:
        raise UnreadableError(
            ErrorCode.UNSUPPORTED_TYPE, "An office file that is no compound file has no reader."
        )
    file = CompoundFile(window)
    word = file.entries.get("WordDocument")
    if word is not None:
        start = file.read(word, _FIB.size)
        if len(start) >= _FIB.size:
            header.is_encrypted = bool(_FIB.unpack_from(start)[0] & _IS_ENCRYPTED)
    summary = file.entries.get(_SUMMARY)
    if summary is not None:
        _describe(_properties(file.read(summary)), header)
    document = file.entries.get(_DOCUMENT)
    if document is not None and header.page_count is None and "PowerPoint Document" in file.entries:
        header.page_count = _count(_properties(file.read(document)).get(_SLIDES))


def _describe(properties: dict[int, str | int], header: DocumentHeader) -> None:
    header.title = _text(properties.get(_TITLE))
    header.description = _text(properties.get(_COMMENTS)) or _text(properties.get(_SUBJECT))
    header.creators = split(_text(properties.get(_AUTHOR)) or "")
    header.tags = split(_text(properties.get(_KEYWORDS)) or "")
    header.page_count = _count(properties.get(_PAGES))


def _text(value: str | int | None) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _count(value: str | int | None) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _properties(stream: bytes) -> dict[int, str | int]:
    """Texts and whole numbers of the first set in a stream (MS-OLEPS, 2.20 and 2.21)."""
    if len(stream) < _SET_START or stream[:2] != b"\xfe\xff":
        return {}
    (start,) = struct.unpack_from("<I", stream, _SET_START - 4)
    content = stream[start:]
    if len(content) < 8:
        return {}
    (count,) = struct.unpack_from("<I", content, 4)
    count = min(count, _MAX_PROPERTIES, (len(content) - 8) // 8)
    places = dict(struct.iter_unpack("<II", content[8 : 8 + 8 * count]))
    encoding = _encoding(_value(content, places.get(_CODE_PAGE), "ascii"))
    values = {number: _value(content, at, encoding) for number, at in places.items()}
    return {number: value for number, value in values.items() if value is not None}


def _encoding(code_page: str | int | None) -> str:
    """Python's name of a code page of Windows; Latin-1 where it knows none."""
    number = code_page & 0xFFFF if isinstance(code_page, int) else 1252
    return _CODE_PAGES.get(number, "latin-1")


def _value(content: bytes, at: int | None, encoding: str) -> str | int | None:
    """A typed value; None for other types, and for what is cut."""
    if at is None or at + 8 > len(content):
        return None
    kind, length = struct.unpack_from("<II", content, at)
    if kind == _INT16:
        return int.from_bytes(content[at + 4 : at + 6], "little", signed=True)
    if kind == _INT32:
        return int.from_bytes(content[at + 4 : at + 8], "little", signed=True)
    if kind == _WIDE_STRING:
        length, encoding = 2 * length, "utf-16-le"
    elif kind != _STRING:
        return None
    if length > _MAX_TEXT or at + 8 + length > len(content):
        return None
    return content[at + 8 : at + 8 + length].decode(encoding, "replace").split("\0")[0]
