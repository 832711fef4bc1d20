"""SVG: the size that the root element states, its title, and the RDF that editors write.

Nothing is drawn, so there are no colours.
"""

from __future__ import annotations

import html
import re

from media_enricher.models import ErrorCode
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.markup import root_attributes
from media_enricher.probe.sniff import gunzipped
from media_enricher.probe.sniffing.encodings import as_utf8
from media_enricher.probe.sniffing.text import MAX_PROLOG, markup_start
from media_enricher.probe.source import Buffer, UnreadableError, Window

_START_BYTES = 64 * 1024
# Possessive throughout (`++`): digits and blanks that were passed are never tried again.
_LENGTH = re.compile(
    r"\s*+\+?((?:\d++(?:\.\d++)?+|\.\d++)(?:[eE][+-]?\d{1,2})?)"
    r"\s*+(px|pt|pc|in|cm|mm|q|)\s*+$",
    re.I,
)
_PIXELS = {"": 1, "px": 1, "pt": 4 / 3, "pc": 16, "in": 96, "cm": 96 / 2.54, "mm": 96 / 25.4}
_TITLE = re.compile(
    rb"<(?:[\w.-]++:)?svg(?=[\s>])(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+>"
    rb"(?:\s++|<!--(?:[^-]++|-(?!->))*+-->|<(?:[\w.-]++:)?(?:metadata|desc|defs)\b[^<]*+</[^>]*+>)*+"
    rb"<(?:[\w.-]++:)?title(?:\s[^>]*+)?>([^<]{1,2000})</"
)
"""The title is the root's first child (SVG 2, 5.7), or stands behind a description."""
_ROOT = re.compile(rb"<(?:[\w.-]++:)?svg(?=[\s>])(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+>")
_RDF = re.compile(rb"<(?:[\w.-]++:)?RDF(?=[\s>])")
_MOST = 1_000_000
_TAIL_BYTES = 4096


def read(window: Window, header: ImageHeader) -> None:
    """Width and height in CSS pixels; what only one of them or neither states, by the viewBox."""
    start = _start(window)
    header.frame_count = 1
    title = _TITLE.search(start)
    if title:
        header.texts["title"] = html.unescape(title[1].decode(errors="replace")).strip()
    if rdf := _rdf(start):
        header.keep(rdf)
    attributes = root_attributes(start)
    width, height = _pixels(attributes.get("width")), _pixels(attributes.get("height"))
    box_width, box_height = _view_box(attributes.get("viewBox"))
    if box_width and box_height:
        if width is None and height is None:
            width, height = box_width, box_height
        elif height is None and width is not None:
            height = width * box_height / box_width
        elif width is None and height is not None:
            width = height * box_width / box_height
    header.width, header.height = _whole(width), _whole(height)


def _start(window: Window) -> bytes:
    """The start as UTF-8, with the root's tag where that is near enough."""
    start = bytes(window.data[:_START_BYTES])
    if start[:2] == b"\x1f\x8b":
        return as_utf8(gunzipped(start, MAX_PROLOG))
    return max(markup_start(window), as_utf8(bytes(window.data[:_START_BYTES])), key=len)


def _rdf(start: bytes) -> bytes | None:
    """The RDF within `metadata` (SVG 2, 5.9), behind the root's tag, which declares its prefixes.

    What follows the RDF is no part of it for who reads it: XMP's reader takes properties of nodes
    within RDF alone.
    """
    root = _ROOT.search(start)
    found = _RDF.search(start, root.end()) if root else None
    return root[0] + start[found.start() :] if root and found else None


def _pixels(length: str | None) -> float | None:
    match = _LENGTH.match(length) if length else None
    if match is None:  # absent, or relative to where it is shown: 100%
        return None
    unit = match[2].lower()
    return float(match[1]) * (_PIXELS["mm"] / 4 if unit == "q" else _PIXELS[unit])


def _view_box(text: str | None) -> tuple[float | None, float | None]:
    parts = re.split(r"[\s,]+", text.strip()) if text else []
    if len(parts) != 4:
        return None, None
    return _pixels(parts[2]), _pixels(parts[3])


def _whole(length: float | None) -> int | None:
    return max(round(length), 1) if length is not None and 0 < length <= _MOST else None


def check(data: Buffer) -> None:
    """See whether the document was closed.

    Raises:
        UnreadableError: truncated.
    """
    tail = bytes(data[-_TAIL_BYTES:]).replace(b"\0", b"")  # of UTF-16
    is_packed = bytes(data[:2]) == b"\x1f\x8b"
    if not is_packed and b"</" not in tail and b"/>" not in tail:
        raise UnreadableError(
            ErrorCode.TRUNCATED, f"The SVG ends at byte {len(data):,} without closing its root."
        )
