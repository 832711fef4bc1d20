"""Text in any encoding that files announce, as UTF-8, so that one way of reading it will do."""

from __future__ import annotations

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UNMARKED = (
    (re.compile(rb"(?:[\t\n\r -~]\x00){4}|<\x00[!?A-Za-z]\x00"), "utf-16-le"),
    (re.compile(rb"(?:\x00[\t\n\r -~]){4}|\x00<\x00[!?A-Za-z]"), "utf-16-be"),
)
"""UTF-16 without a byte order mark, by its first characters (XML 1.0, appendix F)."""


def announced_encoding(start: bytes) -> tuple[str, int] | None:
    """The Unicode encoding of a text by its first bytes, and how long its byte order mark is."""
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return encoding, len(mark)
    for pattern, encoding in _UNMARKED:
        if pattern.match(start):
            return encoding, 0
    return None


def as_utf8(start: bytes) -> bytes:
    """The start of a text as UTF-8 without a mark; as it stands where no encoding is announced.

    What can't be decoded is replaced; a character that the end cuts is dropped.
    """
    announced = announced_encoding(start)
    if announced is None:
        return start
    encoding, skipped = announced
    if encoding == "utf-8":
        return start[skipped:]
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    return decoder.decode(start[skipped:]).encode(errors="replace")
