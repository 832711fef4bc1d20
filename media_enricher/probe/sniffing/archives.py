"""What a ZIP is by what it holds: office files, books, programs, comics, or just an archive."""

from __future__ import annotations

import re

from media_enricher.probe import zip_files
from media_enricher.probe.source import UnreadableError, Window

_MIMETYPE = re.compile(rb"PK\x03\x04.{22}\x08\x00(..)mimetype", re.S)
_MEDIA_TYPE = re.compile(rb"[a-z]+/[A-Za-z0-9.+-]+")
_OFFICE = "application/vnd.openxmlformats-officedocument."
_MAIN_PART = re.compile(
    rb"application/(vnd\.(?:openxmlformats-officedocument|ms-(?:word|excel|powerpoint))"
    rb"[A-Za-z0-9.-]{1,99}?)\.main\+xml"
)
_CONTENT_TYPES = "[Content_Types].xml"
_MAX_CONTENT_TYPES = 64 * 1024
_BY_MEMBER: tuple[tuple[str, str], ...] = (
    ("word/", _OFFICE + "wordprocessingml.document"),
    ("xl/", _OFFICE + "spreadsheetml.sheet"),
    ("ppt/", _OFFICE + "presentationml.presentation"),
    ("visio/", "application/vnd.ms-visio.drawing"),
    ("AndroidManifest.xml", "application/vnd.android.package-archive"),
    ("META-INF/container.xml", "application/epub+zip"),
    ("Index/Document.iwa", "application/vnd.apple.iwork"),
    ("Payload/", "application/x-ios-app"),
    ("META-INF/MANIFEST.MF", "application/java-archive"),
    ("doc.kml", "application/vnd.google-earth.kmz"),
    ("FixedDocSeq.fdseq", "application/vnd.ms-xpsdocument"),
)
"""A name, or the start of names that end with a slash, and what it tells; the first that fits."""
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif", ".jxl")
_BESIDE_PICTURES = ("ComicInfo.xml", "Thumbs.db", ".DS_Store")
COMIC_EXTENSION = ".cbz"
"""A ZIP of pictures alone is a comic book only where its name says so."""


def zip_type(window: Window, head: bytes, extension: str) -> str:
    """The type of a ZIP, `application/zip` for what nothing else is known of.

    Raises:
        MoreBytesError: the directory is not held.
    """
    said = _by_mimetype(head)
    if said:
        return said
    try:
        held = zip_files.members(window)
        names = list(held)
        content_types = held.get(_CONTENT_TYPES)
    except UnreadableError:
        names, content_types = zip_files.local_names(head), None
    if content_types:
        try:
            listed = zip_files.inflated(window, content_types, _MAX_CONTENT_TYPES)
        except UnreadableError:
            listed = b""
        main = _MAIN_PART.search(listed)
        if main:
            return _content_type(main[1].decode())
    for start, content_type in _BY_MEMBER:
        is_folder = start.endswith("/")
        if any(name.startswith(start) if is_folder else name == start for name in names):
            return content_type
    return _of_pictures(names, extension) or "application/zip"


def _by_mimetype(head: bytes) -> str | None:
    """EPUB (OCF 3.3, 4.3) and OpenDocument (1.3, part 2, 3.3) begin with a member that says it."""
    found = _MIMETYPE.match(head)
    if found is None or head[8:10] != b"\0\0":
        return None
    start = found.end() + int.from_bytes(found[1], "little")
    said = _MEDIA_TYPE.match(head[start : start + 100])
    return said[0].decode().partition("PK")[0].lower() if said else None


def _content_type(main: str) -> str:
    """The type of a package by that of its main part; Microsoft's own have a version behind."""
    name = f"application/{main}".lower()
    return f"{name}.12" if name.endswith("macroenabled") else name


def _of_pictures(names: list[str], extension: str) -> str | None:
    files = [name for name in names if not name.endswith("/")]
    others = [
        name
        for name in files
        if not name.lower().endswith(_PICTURES) and not name.endswith(_BESIDE_PICTURES)
    ]
    is_comic = files and not others and extension == COMIC_EXTENSION
    return "application/vnd.comicbook+zip" if is_comic else None
