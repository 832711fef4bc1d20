"""The root element of a markup document, from its start alone and without an XML parser.

A truncated start is no document to a parser, and a parser expands entities. We want one tag.
"""

from __future__ import annotations

import re

_ELEMENT = re.compile(rb"<(?:[\w.-]+:)?([A-Za-z][\w.-]*)((?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+)(>?)")
# A name is tried from its first character only, and never given back: without the two, a long name
# that no value follows costs the square of its length.
_ATTRIBUTE = re.compile(rb"(?<![\w:.-])([\w:.-]++)\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)')")
_DOCTYPE = re.compile(rb"<!doctype\s+([\w:.-]+)", re.I)
_BLANKS = b"\xef\xbb\xbf \t\r\n"
_MOST_PREFACES = 100


def root_name(start: bytes) -> str | None:
    """The lower-case local name of the root element, or of the document type that promises it."""
    at = _root_offset(start)
    if at is None:
        return None
    tag = _ELEMENT.match(start, at) or _DOCTYPE.match(start, at)
    return tag[1].rpartition(b":")[2].decode("ascii", errors="replace").lower() if tag else None


def root_attributes(start: bytes) -> dict[str, str]:
    """The attributes of the root element, entities as they stand; empty where its tag is cut."""
    at = _root_offset(start)
    tag = _ELEMENT.match(start, at) if at is not None else None
    if tag is None or not tag[3]:
        return {}
    return {
        name.decode("ascii", errors="replace"): (double or single).decode(errors="replace")
        for name, double, single in _ATTRIBUTE.findall(tag[2])
    }


def _root_offset(start: bytes) -> int | None:
    """Where the first element begins, after the prolog: XML declaration, comments, doctype.

    For a doctype that the text ends in, the doctype's own offset.
    """
    at = len(start) - len(start.lstrip(_BLANKS))
    for _ in range(_MOST_PREFACES):
        if start.startswith(b"<?", at):
            end = _after(start, b"?>", at)
        elif start.startswith(b"<!--", at):
            end = _after(start, b"-->", at)
        elif start.startswith(b"<!", at):
            subset, close = start.find(b"[", at), start.find(b">", at)
            end = _after(start, b"]>", at) if -1 < subset < close else _after(start, b">", at)
            if end is None or not start[end:].strip():
                return at
        else:
            return at if start.startswith(b"<", at) else None
        if end is None:
            return None
        at = end + len(start[end:]) - len(start[end:].lstrip(_BLANKS))
    return None


def _after(text: bytes, mark: bytes, at: int) -> int | None:
    found = text.find(mark, at)
    return found + len(mark) if found >= 0 else None
