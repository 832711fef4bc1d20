"""Title, description, keywords, capture time and lens from an XMP packet (ISO 16684-1)."""

from __future__ import annotations

import re
from xml.etree.ElementTree import ParseError

import msgspec
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

_MAX_BYTES = 4 * 1024 * 1024
# Far above what editors write: edit histories reach some ten thousand elements, ten deep.
_MAX_DEPTH = 100
_MAX_ELEMENTS = 200_000
_MAX_ITEMS = 5_000
_MAX_TEXT = 1024 * 1024
"""Characters kept of all texts together."""
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
_TITLE, _ABSTRACT, _SUBJECT = f"{_DC}title", f"{_DC}description", f"{_DC}subject"
_DESCRIPTION, _LI = f"{_RDF}Description", f"{_RDF}li"
_PROPERTIES = frozenset({_TITLE, _ABSTRACT, _SUBJECT, *_TAKEN, *_LENS})
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


class _TooMuchError(Exception):
    """The packet nests deeper, or holds more, than any real one does."""


class _Collector:
    """What an XML parser reports, element by element: no tree is built, so nesting costs nothing.

    A property is a child of an `rdf:Description`; properties within properties are not looked at,
    and so each element and each character is handled once.
    """

    def __init__(self) -> None:
        self._path: list[str] = []
        self._blocks = 0
        self._elements = 0
        self._open: list[int] = []
        """The numbers of the `rdf:Description`s around, outermost first."""
        self._property: str | None = None
        self._property_depth = 0
        self._texts: list[tuple[str | None, list[str]]] = []
        """(language, pieces): of the property itself, then of each `rdf:li` in it."""
        self._text: list[str] | None = None
        self._kept = 0
        self._seen: set[tuple[int, str]] = set()
        self._values: dict[str, list[tuple[int, str]]] = {}
        self.tags: list[str] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        self._elements += 1
        if len(self._path) >= _MAX_DEPTH or self._elements > _MAX_ELEMENTS:
            raise _TooMuchError
        parent = self._path[-1] if self._path else None
        self._path.append(tag)
        self._text = None  # only what stands before the first child is an element's own text
        if self._property is not None:
            if tag == _LI and len(self._texts) <= _MAX_ITEMS:
                self._collect(attributes.get(_LANGUAGE))
        elif tag == _DESCRIPTION:
            self._blocks += 1
            self._open.append(self._blocks)
            for name in (*_TAKEN, *_LENS):
                if attributes.get(name):
                    self._keep(name, attributes[name])
        elif parent == _DESCRIPTION and tag in _PROPERTIES:
            self._property, self._property_depth = tag, len(self._path)
            self._texts = []
            self._collect(None)

    def _collect(self, language: str | None) -> None:
        self._text = []
        self._texts.append((language, self._text))

    def data(self, text: str) -> None:
        """Text, perhaps in pieces."""
        if self._text is not None and self._kept < _MAX_TEXT:
            self._kept += len(text)
            self._text.append(text)

    def end(self, tag: str) -> None:
        """An element ends."""
        self._text = None
        if self._property is not None:
            if len(self._path) == self._property_depth:
                self._finish(self._property)
                self._property = None
        elif tag == _DESCRIPTION:
            self._open.pop()
        self._path.pop()

    def close(self) -> None:
        """The document ends."""

    def _finish(self, name: str) -> None:
        own, *items = [(language, "".join(pieces)) for language, pieces in self._texts]
        if name == _SUBJECT:
            self.tags += [text for _, text in items][: _MAX_ITEMS - len(self.tags)]
            return
        first = (self._open[-1], name) not in self._seen
        self._seen.add((self._open[-1], name))
        if name in {*_TAKEN, *_LENS}:
            chosen = own[1] if first else ""
        else:
            default = (text for language, text in items if language == "x-default")
            chosen = next(default, items[0][1] if items else own[1]) if first else ""
        if chosen:
            self._keep(name, chosen)

    def _keep(self, name: str, value: str) -> None:
        """The value of this block; an attribute goes before an element of the same name."""
        values = self._values.setdefault(name, [])
        if not values or self._open[-1] < values[0][0]:
            values[:] = [(self._open[-1], value)]

    def first(self, *names: str) -> str | None:
        """The value in the first block that has one; within a block in the order of `names`."""
        found = [
            (block, rank, value)
            for rank, name in enumerate(names)
            for block, value in self._values.get(name, ())
        ]
        return min(found)[2] if found else None


def read(packet: bytes) -> Xmp:
    """What the packet says; nothing where it is no XML, declares entities or nests absurdly."""
    packet = packet[:_MAX_BYTES].strip(b"\0 \r\n\t")
    if not _WORTH_PARSING.search(packet):
        return Xmp()
    collected = _Collector()
    parser = DefusedXMLParser(target=collected, forbid_dtd=True)
    try:
        parser.feed(packet)
        parser.close()
    except (ParseError, DefusedXmlException, ValueError, LookupError, _TooMuchError):
        return Xmp()
    return Xmp(
        title=collected.first(_TITLE),
        description=collected.first(_ABSTRACT),
        tags=collected.tags,
        taken=collected.first(*_TAKEN),
        lens=collected.first(*_LENS),
    )
