"""XML parts of a ZIP: bounded in bytes, elements and depth, and without entities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from media_enricher.models import ErrorCode
from media_enricher.probe.source import UnreadableError, Window
from media_enricher.probe.zip_files import Member, inflated

MAX_PART = 1024 * 1024
"""Bytes of a part, inflated. Metadata of real documents take some thousand."""
_MAX_DEPTH = 100
_MAX_ELEMENTS = 50_000


class _Builder:
    """Builds the tree as ElementTree's own builder does, within limits."""

    def __init__(self) -> None:
        self._root: Element | None = None
        self._open: list[Element] = []
        self._last: Element | None = None
        self._elements = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Begin an element."""
        self._elements += 1
        if len(self._open) >= _MAX_DEPTH or self._elements > _MAX_ELEMENTS:
            raise _TooMuchError
        element = Element(tag, attributes)
        if self._open:
            self._open[-1].append(element)
        elif self._root is None:
            self._root = element
        self._open.append(element)

    def end(self, _tag: str) -> None:
        """End the innermost element."""
        self._open.pop()

    def data(self, text: str) -> None:
        """Text directly within an element; what follows a child is not kept."""
        if self._open and not len(self._open[-1]):
            element = self._open[-1]
            element.text = (element.text or "") + text

    def close(self) -> Element | None:
        """The root."""
        return self._root


class _TooMuchError(Exception):
    pass


def parse(window: Window, member: Member, name: str) -> Element:
    """The root element of a part.

    Raises:
        MoreBytesError: it is not held.
        UnreadableError: corrupt, or beyond the limits.
    """
    data = inflated(window, member, MAX_PART + 1)
    if len(data) > MAX_PART:
        raise UnreadableError(
            ErrorCode.CORRUPT, f"{name} inflates to more than {MAX_PART:,} bytes; it is not read."
        )
    parser = DefusedXMLParser(target=_Builder(), forbid_entities=True)
    try:
        parser.feed(data)
        root: Element | None = parser.close()
    except _TooMuchError:
        raise UnreadableError(
            ErrorCode.CORRUPT,
            f"{name} has more than {_MAX_ELEMENTS:,} elements or is nested deeper than "
            f"{_MAX_DEPTH}; it is not read.",
        ) from None
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise UnreadableError(ErrorCode.CORRUPT, f"{name} is not sound XML: {error}.") from error
    if root is None:
        raise UnreadableError(ErrorCode.CORRUPT, f"{name} is empty.")
    return root


def texts(root: Element, *names: str) -> Iterator[str]:
    """The texts of all elements of these (qualified) names, in order, without empty ones."""
    for element in root.iter():
        if element.tag in names and element.text and element.text.strip():
            yield element.text.strip()


def first(root: Element, *names: str) -> str | None:
    """The first of `texts`."""
    return next(texts(root, *names), None)


def whole_number(text: str | None) -> int | None:
    """A count from a text; None for what is none."""
    is_count = text is not None and text.isascii() and text.isdigit() and len(text) <= 9
    return int(text) if is_count and text else None


def read_all(*steps: Callable[[], None]) -> None:
    """Take all steps, and raise the first fault after: the others are kept.

    Raises:
        UnreadableError: of the first step that raised it.
    """
    faults = []
    for step in steps:
        try:
            step()
        except UnreadableError as fault:
            faults.append(fault)
    if faults:
        raise faults[0]
