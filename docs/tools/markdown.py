"""What a page of Markdown offers to link to, and what it links to, as forges read it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
INLINE_CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)\)")
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


class Link(NamedTuple):
    """A link to another place of this repository."""

    page: Path
    target: str
    file: Path
    anchor: str


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings. A heading that comes again has a number at its end."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        text = LINK.sub("]", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        count = 0
        while (anchor := f"{slug}-{count}" if count else slug) in found:
            count += 1
        found.add(anchor)
    return found


def links(page: Path) -> Iterator[Link]:
    """The relative links of a page, without what stands in code."""
    text = INLINE_CODE.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))
    for target in LINK.findall(text):
        if not ELSEWHERE.match(target):
            file, _, anchor = target.partition("#")
            yield Link(
                page, target, (page.parent / unquote(file)).resolve() if file else page, anchor
            )


def broken(link: Link) -> str | None:
    """What is wrong with a link, or None."""
    if not link.file.exists():
        return f"{link.page}: {link.target} leads to no file"
    if link.anchor and (link.file.suffix != ".md" or link.anchor not in anchors(link.file)):
        return f"{link.page}: {link.target} leads to no heading"
    return None
