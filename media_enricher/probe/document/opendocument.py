"""OpenDocument (ISO/IEC 26300, ODF 1.3 part 3, 4.3: meta.xml)."""

from __future__ import annotations

from functools import partial

from media_enricher.probe.document.header import DocumentHeader
from media_enricher.probe.document.office import MAX_COVER
from media_enricher.probe.document.xml_parts import first, parse, read_all, texts, whole_number
from media_enricher.probe.source import Window
from media_enricher.probe.zip_files import Member, inflated, members

_DC = "{http://purl.org/dc/elements/1.1/}"
_META = "{urn:oasis:names:tc:opendocument:xmlns:meta:1.0}"
_MANIFEST = "{urn:oasis:names:tc:opendocument:xmlns:manifest:1.0}"
_THUMBNAIL = "Thumbnails/thumbnail.png"


def read(window: Window, header: DocumentHeader) -> None:
    """Fill in title, author, keywords and pages, and the thumbnail where there is one.

    Raises:
        MoreBytesError: a part is not held.
        UnreadableError: the ZIP or a part is damaged; what could be read is filled in.
    """
    held = members(window)
    _read_manifest(window, held, header)
    if header.is_encrypted:
        return
    read_all(
        partial(_read_meta, window, held, header),
        partial(_read_thumbnail, window, held, header),
    )


def _read_manifest(window: Window, held: dict[str, Member], header: DocumentHeader) -> None:
    member = held.get("META-INF/manifest.xml")
    if member is not None:
        root = parse(window, member, "META-INF/manifest.xml")
        header.is_encrypted = next(root.iter(f"{_MANIFEST}encryption-data"), None) is not None


def _read_meta(window: Window, held: dict[str, Member], header: DocumentHeader) -> None:
    member = held.get("meta.xml")
    if member is None:
        return
    root = parse(window, member, "meta.xml")
    header.title = first(root, f"{_DC}title")
    header.description = first(root, f"{_DC}description") or first(root, f"{_DC}subject")
    author = first(root, f"{_META}initial-creator") or first(root, f"{_DC}creator")
    header.creators = [author] if author else []
    header.tags = list(texts(root, f"{_META}keyword"))
    for counts in root.iter(f"{_META}document-statistic"):
        header.page_count = whole_number(counts.get(f"{_META}page-count")) or None


def _read_thumbnail(window: Window, held: dict[str, Member], header: DocumentHeader) -> None:
    if header.is_drawn and _THUMBNAIL in held:
        header.cover = inflated(window, held[_THUMBNAIL], MAX_COVER)
