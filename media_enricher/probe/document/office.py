"""Office Open XML (ECMA-376, part 2: core properties; part 1, 22.2: extended properties)."""

from __future__ import annotations

import re
from functools import partial

from media_enricher.probe.document.header import DocumentHeader
from media_enricher.probe.document.xml_parts import first, parse, read_all, texts, whole_number
from media_enricher.probe.source import Window
from media_enricher.probe.zip_files import Member, inflated, members

_DC = "{http://purl.org/dc/elements/1.1/}"
_CORE = "{http://schemas.openxmlformats.org/package/2006/metadata/core-properties}"
_EXTENDED = (
    "{http://schemas.openxmlformats.org/officeDocument/2006/extended-properties}",
    "{http://purl.oclc.org/ooxml/officeDocument/extendedProperties}",
)
_SLIDE = re.compile(r"ppt/slides/slide\d{1,9}\.xml")
_THUMBNAILS = ("docProps/thumbnail.jpeg", "docProps/thumbnail.jpg", "docProps/thumbnail.png")
MAX_COVER = 8 * 1024 * 1024


def read(window: Window, header: DocumentHeader) -> None:
    """Fill in title, authors, keywords, pages or slides, and the thumbnail where there is one.

    Raises:
        MoreBytesError: a part is not held.
        UnreadableError: the ZIP or a part is damaged; what could be read is filled in.
    """
    held = members(window)
    header.is_encrypted = False
    header.page_count = sum(1 for name in held if _SLIDE.fullmatch(name)) or None
    read_all(
        partial(_read_core, window, held, header),
        partial(_read_extended, window, held, header),
        partial(_read_thumbnail, window, held, header),
    )


def _read_core(window: Window, held: dict[str, Member], header: DocumentHeader) -> None:
    name = _found(held, "docProps/core.xml")
    if name is None:
        return
    root = parse(window, held[name], name)
    header.title = first(root, f"{_DC}title")
    header.description = first(root, f"{_DC}description") or first(root, f"{_DC}subject")
    header.creators = split(first(root, f"{_DC}creator") or "")
    header.tags = [
        tag for said in texts(root, f"{_CORE}keywords", f"{_CORE}keyword") for tag in split(said)
    ]


def _read_extended(window: Window, held: dict[str, Member], header: DocumentHeader) -> None:
    name = _found(held, "docProps/app.xml")
    if name is None or header.page_count is not None:
        return
    root = parse(window, held[name], name)
    pages = [f"{space}{count}" for space in _EXTENDED for count in ("Pages", "Slides")]
    header.page_count = whole_number(first(root, *pages)) or None


def _read_thumbnail(window: Window, held: dict[str, Member], header: DocumentHeader) -> None:
    name = next((name for name in _THUMBNAILS if name in held), None)
    if header.is_drawn and name:
        header.cover = inflated(window, held[name], MAX_COVER)


def _found(held: dict[str, Member], name: str) -> str | None:
    """The name as the package spells it: part names are equal whatever their case."""
    if name in held:
        return name
    return next((each for each in held if each.lower() == name.lower()), None)


def split(said: str) -> list[str]:
    """Names or keywords that one text lists, behind semicolons or commas."""
    mark = ";" if ";" in said else ","
    return [part.strip() for part in said.split(mark) if part.strip()]
