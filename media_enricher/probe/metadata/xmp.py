"""An XMP packet (ISO 16684-1): the properties that have a column, in any form that RDF allows."""

from __future__ import annotations

import re
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from media_enricher.probe.fields.labels import BURST, HDR, LIVE_PHOTO
from media_enricher.probe.metadata.position import from_xmp
from media_enricher.probe.metadata.texts import decoded
from media_enricher.probe.metadata.times import moment
from media_enricher.probe.metadata.values import Values

_MAX_BYTES = 4 * 1024 * 1024
# Far above what editors write: edit histories reach some ten thousand elements, ten deep.
_MAX_DEPTH = 100
_MAX_ELEMENTS = 200_000
_MAX_ITEMS = 5_000
_MAX_TEXT = 1024 * 1024
"""Characters kept of all texts together."""
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_EXIF = "{http://ns.adobe.com/exif/1.0/}"
_EXIF_EX = "{http://cipa.jp/exif/1.0/}"
_TIFF = "{http://ns.adobe.com/tiff/1.0/}"
_IPTC_EXT = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
_XMP = "{http://ns.adobe.com/xap/1.0/}"
_MICROSOFT = "{http://ns.microsoft.com/photo/1.0}"
_MICROSOFT_OLD = "{http://ns.microsoft.com/photo/1.0/}"

_TITLE, _SUBJECT, _CREATOR = f"{_DC}title", f"{_DC}subject", f"{_DC}creator"
_DESCRIPTIONS = (f"{_DC}description", f"{_TIFF}ImageDescription")
_RIGHTS = (f"{_DC}rights", f"{_TIFF}Copyright")
_ARTIST = f"{_TIFF}Artist"
_TAKEN = (
    f"{_EXIF}DateTimeOriginal",
    "{http://ns.adobe.com/photoshop/1.0/}DateCreated",
    f"{_EXIF}DateTimeDigitized",
)
_OFFSETS = (f"{_EXIF_EX}OffsetTimeOriginal", f"{_EXIF}OffsetTimeOriginal")
_FRACTIONS = (f"{_EXIF_EX}SubSecTimeOriginal", f"{_EXIF}SubSecTimeOriginal")
_MAKE, _MODEL = f"{_TIFF}Make", f"{_TIFF}Model"
_LENS = (f"{_EXIF_EX}LensModel", "{http://ns.adobe.com/exif/1.0/aux/}Lens")
_LATITUDE, _LONGITUDE = f"{_EXIF}GPSLatitude", f"{_EXIF}GPSLongitude"
_LICENSE = (
    "{http://ns.adobe.com/xap/1.0/rights/}WebStatement",
    "{http://creativecommons.org/ns#}license",
    "{http://web.resource.org/cc/}license",
)
_ALT_TEXT = "{http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/}AltTextAccessibility"
_SOURCE_TYPE = (f"{_IPTC_EXT}DigitalSourceType", f"{_IPTC_EXT}DigitalSourcetype")
_RATING = f"{_XMP}Rating"
_PERCENT = (f"{_MICROSOFT}Rating", f"{_MICROSOFT_OLD}Rating")

_CAMERA = "{http://ns.google.com/photos/1.0/camera/}"
_LABELS = {
    f"{_CAMERA}BurstID": BURST,
    f"{_CAMERA}MotionPhoto": LIVE_PHOTO,
    f"{_CAMERA}MicroVideo": LIVE_PHOTO,
    "{http://ns.adobe.com/hdr-gain-map/1.0/}Version": HDR,
}
"""Property -> what it says where it is set: a series, a still with its film, a gain map."""

_AGENTS = frozenset({"{http://creativecommons.org/ns#}Agent", "{http://web.resource.org/cc/}Agent"})
"""Nodes for people in the RDF of an SVG: their title is the value of the property."""

_LISTS = frozenset({_SUBJECT, _CREATOR})
_PROPERTIES = frozenset(
    {
        _TITLE,
        *_DESCRIPTIONS,
        *_RIGHTS,
        _ARTIST,
        *_TAKEN,
        *_OFFSETS,
        *_FRACTIONS,
        _MAKE,
        _MODEL,
        *_LENS,
        _LATITUDE,
        _LONGITUDE,
        *_LICENSE,
        _ALT_TEXT,
        *_SOURCE_TYPE,
        _RATING,
        *_PERCENT,
        *_LABELS,
        *_LISTS,
    }
)
_ROOT, _LI, _VALUE, _RESOURCE = f"{_RDF}RDF", f"{_RDF}li", f"{_RDF}value", f"{_RDF}resource"
_DESCRIPTION = f"{_RDF}Description"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"

# Most packets hold an edit history and none of this: a glance is cheaper than a parse.
_WORTH_PARSING = re.compile(
    rb"purl\.org/dc/elements|ns\.adobe\.com/(?:exif|tiff)/|DateCreated|LensModel|aux:Lens|:Rating"
    rb"|WebStatement|license|AltTextAccessibility|DigitalSource[Tt]ype"
    rb"|photos/1\.0/camera|hdr-gain-map"
)


class _TooMuchError(Exception):
    """The packet nests deeper, or holds more, than any real one does."""


class _Collector:
    """What an XML parser reports, element by element: no tree is built, so nesting costs nothing.

    A property is an attribute or a child of a node, and a node a child of `rdf:RDF`, or an
    `rdf:Description` that is the root. Properties within properties, such as those of another
    picture that an editor used, are not looked at. Each element and each character is handled once.
    """

    def __init__(self) -> None:
        self._path: list[str] = []
        self._elements = 0
        self._node_depth: int | None = None
        self._property: str | None = None
        self._property_depth = 0
        self._texts: list[tuple[str | None, list[str]]] = []
        """(language, pieces): of the property itself, then of each item in it."""
        self._text: list[str] | None = None
        self._kept = 0
        self.values: dict[str, str] = {}
        """The first value of each property."""
        self.lists: dict[str, list[str]] = {}
        self.is_closed = False
        """The root was closed: what follows is no part of the packet."""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        self._elements += 1
        if len(self._path) >= _MAX_DEPTH or self._elements > _MAX_ELEMENTS:
            raise _TooMuchError
        parent = self._path[-1] if self._path else None
        self._path.append(tag)
        self._text = None  # only what stands before the first child is an element's own text
        if self._property is not None:
            is_name = tag == _TITLE and parent in _AGENTS
            if (is_name or tag in {_LI, _VALUE}) and len(self._texts) <= _MAX_ITEMS:
                self._collect(attributes.get(_LANGUAGE))
                self._add(attributes.get(_RESOURCE, ""))
        elif self._node_depth is None:
            if parent == _ROOT or (parent is None and tag == _DESCRIPTION):
                self._node_depth = len(self._path)
                for name in attributes.keys() & _PROPERTIES:
                    self._keep(name, attributes[name])
        elif tag in _PROPERTIES and len(self._path) == self._node_depth + 1:
            self._property, self._property_depth = tag, len(self._path)
            self._texts = []
            self._collect(None)
            self._add(attributes.get(_RESOURCE, ""))

    def _collect(self, language: str | None) -> None:
        self._text = []
        self._texts.append((language, self._text))

    def _add(self, text: str) -> None:
        if self._text is not None and self._kept < _MAX_TEXT:
            self._kept += len(text)
            self._text.append(text)

    def data(self, text: str) -> None:
        """Text, perhaps in pieces."""
        self._add(text)

    def end(self, _: str) -> None:
        """An element ends."""
        self._text = None
        if self._property is not None:
            if len(self._path) == self._property_depth:
                self._finish(self._property)
                self._property = None
        elif len(self._path) == self._node_depth:
            self._node_depth = None
        self._path.pop()
        self.is_closed = not self._path

    def close(self) -> None:
        """The document ends."""

    def _finish(self, name: str) -> None:
        own, *items = [(language, "".join(pieces)) for language, pieces in self._texts]
        if name in _LISTS:
            for text in [text for _, text in items] or [own[1]]:
                self._keep(name, text)
            return
        default = (text for language, text in items if language == "x-default")
        self._keep(name, next(default, items[0][1] if items else own[1]))

    def _keep(self, name: str, value: str) -> None:
        if not value.strip():
            return
        if name not in _LISTS:
            self.values.setdefault(name, value)
        elif len(values := self.lists.setdefault(name, [])) < _MAX_ITEMS:
            values.append(value)

    def first(self, *names: str) -> str | None:
        """The value of the first of these properties that has one."""
        return next((self.values[name] for name in names if name in self.values), None)


def read(packet: bytes) -> Values:
    """What the packet says; nothing where it is no XML, declares entities or nests absurdly.

    What was complete before a packet breaks off counts, and what follows its end does not.
    """
    packet = _as_utf8(packet[:_MAX_BYTES])
    if not _WORTH_PARSING.search(packet):
        return Values()
    found = _Collector()
    parser = DefusedXMLParser(target=found, forbid_dtd=True, encoding="utf-8")
    try:
        parser.feed(packet)
        parser.close()
    except (DefusedXmlException, ValueError, LookupError, _TooMuchError):
        return Values()
    except ParseError:
        pass
    return _values(found)


# How the first element begins in each encoding, and of which width its characters are.
_WIDE = (
    (re.compile(rb"\0\0\0<\0\0\0[?!:A-Za-z]"), "utf-32-be", 4),
    (re.compile(rb"<\0\0\0[?!:A-Za-z]\0\0\0"), "utf-32-le", 4),
    (re.compile(rb"\0<\0[?!:A-Za-z]"), "utf-16-be", 2),
    (re.compile(rb"<\0[?!:A-Za-z]\0"), "utf-16-le", 2),
)
_LOOKED_AT = 256


def _as_utf8(packet: bytes) -> bytes:
    """The packet from its first element on, in UTF-8 whatever its encoding."""
    for start, encoding, width in _WIDE:
        match = start.search(packet[:_LOOKED_AT])
        if match and match.start() % width == 0:
            return packet[match.start() :].decode(encoding, "replace").encode("utf-8", "replace")
    packet = packet[max(packet.find(b"<"), 0) :]
    try:
        packet.decode("utf-8")
    except UnicodeDecodeError:
        return decoded(packet).encode("utf-8", "replace")
    return packet


def _values(found: _Collector) -> Values:
    taken = next((text for name in _TAKEN if (text := found.values.get(name))), None)
    artists = found.first(_ARTIST)
    return Values(
        title=found.first(_TITLE),
        description=found.first(*_DESCRIPTIONS),
        tags=found.lists.get(_SUBJECT, []),
        creators=found.lists.get(_CREATOR, []) or ([artists] if artists else []),
        copyright=found.first(*_RIGHTS),
        license_url=found.first(*_LICENSE),
        alt_text=found.first(_ALT_TEXT),
        rating=_rating(found),
        digital_source_type=found.first(*_SOURCE_TYPE),
        taken=moment(taken, offset=found.first(*_OFFSETS), fraction=found.first(*_FRACTIONS))
        if taken
        else None,
        camera_make=found.first(_MAKE),
        camera_model=found.first(_MODEL),
        lens=found.first(*_LENS),
        labels=[
            label for name, label in _LABELS.items() if found.values.get(name, "0").strip() != "0"
        ],
        position=from_xmp(found.first(_LATITUDE), found.first(_LONGITUDE)),
    )


def _rating(found: _Collector) -> int | None:
    """Stars, also as `4.0`; else Windows' percentages, which are 1, 25, 50, 75 and 99."""
    stars = _number(found.first(_RATING))
    if stars is not None:
        return round(stars) if -1 <= stars <= 5 else None
    percent = _number(found.first(*_PERCENT))
    if percent is None or not 0 <= percent <= 100:
        return None
    return 1 + (int(percent) + 1) // 25 if percent else 0


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\s*[+-]?\d{1,9}(?:\.\d{0,9})?\s*", text) else None
