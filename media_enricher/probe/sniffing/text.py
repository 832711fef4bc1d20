"""Text by its bytes: markup by its root element, JSON, and plain text in any encoding."""

from __future__ import annotations

import re

from media_enricher.probe.markup import is_in_prolog, root_name
from media_enricher.probe.sniffing.encodings import announced_encoding, as_utf8
from media_enricher.probe.source import Window

_SNIFFED_BYTES = 2048
MAX_PROLOG = 1024 * 1024
"""So far a root element is looked for behind comments, a doctype and blanks."""
_JSON = re.compile(rb"\{\s*(?:\"|\}|$)|\[\s*(?:[\"\[\{\]]|-?\d|true|false|null|$)")
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_NOT_LATIN = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f\x81\x8d\x8f\x90\x9d]")
_SURELY_TEXT_BYTES = 256
"""So many bytes without a control character are text; of fewer, half have to be ASCII."""


def markup_start(window: Window) -> bytes:
    """The start of a text as UTF-8: at least to its root element, where that is near enough.

    Raises:
        MoreBytesError: the prolog goes on behind what is held.
    """
    start = as_utf8(bytes(window.data[: _SNIFFED_BYTES * 2]))
    if not is_in_prolog(start):
        return start
    start = as_utf8(bytes(window.data[:MAX_PROLOG]))
    if window.held < min(window.size, MAX_PROLOG) and is_in_prolog(start):
        window.miss(min(window.size, MAX_PROLOG, window.held * 4))
    return start


def text_type(head: bytes, start: bytes) -> str | None:
    """The type of a text, or None for what is none.

    Args:
        head: the first bytes as they stand.
        start: the same as UTF-8, to the root element where there is one.
    """
    sample = as_utf8(head[:_SNIFFED_BYTES])
    is_text = _is_unicode(sample) or (announced_encoding(head) is None and _is_one_byte(sample))
    if not sample.strip() or not is_text:
        return None
    if root_name(start) in {"html", "head", "body"}:
        return "text/html"
    content = sample.lstrip(b" \t\r\n")
    if content.startswith(b"<?xml"):
        return "text/xml"
    return "application/json" if _JSON.match(content) else "text/plain"


def _is_unicode(sample: bytes) -> bool:
    if _NOT_TEXT.search(sample):
        return False
    try:
        text = sample.decode("utf-8")
    except UnicodeDecodeError as broken:
        # A multi-byte character may be cut in two by the end of the sample.
        return broken.start >= len(sample) - 3 and broken.start > 0
    return "\ufffd" not in text[:-1]


def _is_one_byte(sample: bytes) -> bool:
    """Whether it may be ISO 8859 or Windows-1252: no control characters, and mostly ASCII."""
    if _NOT_LATIN.search(sample):
        return False
    ascii_bytes = len(sample.translate(None, bytes(range(0x80, 0x100))))
    return len(sample) >= _SURELY_TEXT_BYTES or ascii_bytes * 2 >= len(sample)
