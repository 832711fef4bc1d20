"""Title, description, keywords, capture time and lens from an XMP packet (ISO 16684-1)."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, ParseError

import msgspec
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

_MAX_BYTES = 4 * 1024 * 1024
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_TAKEN = (
    "{http://ns.adobe.com/exif/1.0/}DateTimeOriginal",
    "{http://ns.adobe.com/photoshop/1.0/}DateCreated",
)
_LENS = (
    "{http://cipa.jp/exif/1.0/}LensModel",
    "{http://ns.adobe.com/exif/1.0/aux/}Lens",
)
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"

# Most packets hold an edit history and none of this: a glance is cheaper than a parse.
_WORTH_PARSING = re.compile(
    rb"purl\.org/dc/elements|DateTimeOriginal|DateCreated|LensModel|aux:Lens"
)


class Xmp(msgspec.Struct):
    """What an editor or a camera wrote, as it stands."""

    title: str | None = None
    description: str | None = None
    tags: list[str] = msgspec.field(default_factory=list)
    taken: str | None = None
    """ISO 8601, often without an offset."""
    lens: str | None = None


def read(packet: bytes) -> Xmp:
    """What the packet says; nothing where it is no XML or declares entities."""
    packet = packet[:_MAX_BYTES].strip(b"\0 \r\n\t")
    if not _WORTH_PARSING.search(packet):
        return Xmp()
    try:
        root = fromstring(packet, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        return Xmp()
    found = Xmp()
    for block in root.iter(f"{_RDF}Description"):
        found.title = found.title or _localised(block.find(f"{_DC}title"))
        found.description = found.description or _localised(block.find(f"{_DC}description"))
        found.tags += [item.text or "" for item in block.findall(f"{_DC}subject//{_RDF}li")]
        found.taken = found.taken or _first(block, _TAKEN)
        found.lens = found.lens or _first(block, _LENS)
    return found


def _localised(alternatives: Element | None) -> str | None:
    """Of a text in several languages the default one, else the first; a bare text as it is."""
    if alternatives is None:
        return None
    items = alternatives.findall(f".//{_RDF}li")
    default = (item for item in items if item.get(_LANGUAGE) == "x-default")
    chosen = next(default, items[0] if items else alternatives)
    return chosen.text or None


def _first(block: Element, names: tuple[str, ...]) -> str | None:
    """A property's value, which RDF may write as an attribute or as an element."""
    for name in names:
        value = block.get(name) or block.findtext(name)
        if value:
            return value
    return None
