"""EPUB (W3C EPUB 3.3; OCF for the container, OPF for the package document)."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from media_enricher.models import ErrorCode
from media_enricher.probe.document.header import DocumentHeader
from media_enricher.probe.document.office import MAX_COVER
from media_enricher.probe.document.xml_parts import first, parse, texts
from media_enricher.probe.source import UnreadableError, Window
from media_enricher.probe.zip_files import Member, inflated, members

_CONTAINER = "META-INF/container.xml"
_ROOT_FILE = "{urn:oasis:names:tc:opendocument:xmlns:container}rootfile"
_DC = "{http://purl.org/dc/elements/1.1/}"
_OPF = "{http://www.idpf.org/2007/opf}"


def read(window: Window, header: DocumentHeader) -> None:
    """Fill in title, authors, subjects and rights, and the cover where there is one.

    A book that flows has no pages.

    Raises:
        MoreBytesError: a part is not held.
        UnreadableError: the ZIP or a part is damaged; what could be read is filled in.
    """
    held = members(window)
    if _CONTAINER not in held:
        raise UnreadableError(ErrorCode.CORRUPT, f"The EPUB has no {_CONTAINER}.")
    root_file = next(parse(window, held[_CONTAINER], _CONTAINER).iter(_ROOT_FILE), None)
    path = root_file.get("full-path", "") if root_file is not None else ""
    if path not in held:
        raise UnreadableError(ErrorCode.CORRUPT, f"The EPUB has no package document {path!r}.")
    package = parse(window, held[path], path)
    header.is_encrypted = False
    header.title = first(package, f"{_DC}title")
    header.description = first(package, f"{_DC}description")
    header.creators = list(texts(package, f"{_DC}creator"))
    header.tags = list(texts(package, f"{_DC}subject"))
    header.copyright = first(package, f"{_DC}rights")
    if header.is_drawn:
        header.cover = _cover(window, held, package, posixpath.dirname(path))


def _cover(window: Window, held: dict[str, Member], package: Element, folder: str) -> bytes | None:
    """The item with the property `cover-image` (EPUB 3), or that `meta name="cover"` names."""
    named = {
        meta.get("content") for meta in package.iter(f"{_OPF}meta") if meta.get("name") == "cover"
    }
    for item in package.iter(f"{_OPF}item"):
        is_cover = "cover-image" in (item.get("properties") or "").split()
        if is_cover or item.get("id") in named:
            path = posixpath.normpath(posixpath.join(folder, unquote(item.get("href") or "")))
            if path in held:
                return inflated(window, held[path], MAX_COVER)
    return None
