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
_BLANKS = re.compile(rb"(?:\xef\xbb\xbf)?+[ \t\r\n]*+")
_SUBSET = re.compile(
    rb"<![^\[>\"']*+(?:(?:\"[^\"]*+\"|'[^']*+')[^\[>\"']*+)*+"
    rb"(\[(?:[^\]\"'<]++|\"[^\"]*+\"|'[^']*+'|<!--(?:[^-]++|-(?!->))*+-->|<(?!!--))*+\]\s*+)?+>"
)
"""A document type, with its declarations in brackets: quotes and comments may hold `]` and `>`."""


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


def is_in_prolog(start: bytes) -> bool:
    """Whether a text that may be markup ends before its root element's tag does."""
    at = _prolog_end(start)
    if at >= len(start):
        return True
    if not start.startswith(b"<", at):
        return False
    tag = _ELEMENT.match(start, at)
    return not tag[3] if tag else start.startswith((b"<?", b"<!"), at) or at == len(start) - 1


def _root_offset(start: bytes) -> int | None:
    """Where the first element begins, after the prolog: XML declaration, comments, doctype.

    For a doctype that the text ends in or with, the doctype's own offset.
    """
    at = _prolog_end(start, keep_doctype=True)
    is_element = start.startswith(b"<", at) and not start.startswith((b"<?", b"<!--"), at)
    return at if is_element else None


def _prolog_end(start: bytes, *, keep_doctype: bool = False) -> int:
    """Where the first thing begins that is not of the prolog, or that the text cuts."""
    at = _skip_blanks(start, 0)
    while start.startswith((b"<?", b"<!"), at):
        if start.startswith(b"<?", at):
            end = _after(start, b"?>", at)
        elif start.startswith(b"<!--", at):
            end = _after(start, b"-->", at)
        else:
            doctype = _SUBSET.match(start, at)
            end = doctype.end() if doctype else None
            if end is not None and keep_doctype and not start[end : end + 4096].strip():
                return at
        if end is None:
            return at
        at = _skip_blanks(start, end)
    return at


def _skip_blanks(text: bytes, at: int) -> int:
    blanks = _BLANKS.match(text, at)
    return blanks.end() if blanks else at


def _after(text: bytes, mark: bytes, at: int) -> int | None:
    found = text.find(mark, at)
    return found + len(mark) if found >= 0 else None
