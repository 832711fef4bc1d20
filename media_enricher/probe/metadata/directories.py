"""Directories of TIFF (TIFF 6.0, section 2) and BigTIFF: what EXIF, TIFF, DNG and raw files hold.

The reader knows where values lie and reads them one by one. It knows no tag, so that EXIF, TIFF and
every raw format share it. All loops are bounded: entries of a directory, directories of a chain,
values of an entry and bytes of a value.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import NamedTuple

from media_enricher.probe.source import Window

MAX_ENTRIES = 500
"""Of one directory; what a camera writes has some sixty."""
MAX_DIRECTORIES = 10_000
"""Of one chain: pages of a scanned book."""
MAX_VALUES = 250_000
"""Numbers of one entry: the strips of a picture with as many rows."""
MAX_VALUE_BYTES = 4 * 1024 * 1024

ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SIGNED_RATIONAL, UTF8 = 2, 3, 4, 5, 7, 10, 129
RATIONALS = frozenset({RATIONAL, SIGNED_RATIONAL})

# Field type -> (bytes a value, struct code of a number); rationals are pairs of numbers.
_TYPES = {
    1: (1, "B"),
    ASCII: (1, "B"),
    SHORT: (2, "H"),
    LONG: (4, "I"),
    RATIONAL: (8, "I"),
    6: (1, "b"),
    UNDEFINED: (1, "B"),
    8: (2, "h"),
    9: (4, "i"),
    SIGNED_RATIONAL: (8, "i"),
    11: (4, "f"),
    12: (8, "d"),
    13: (4, "I"),  # the offset of a directory
    16: (8, "Q"),  # BigTIFF
    17: (8, "q"),
    18: (8, "Q"),  # the offset of a directory, of BigTIFF
    UTF8: (1, "B"),  # EXIF 3.0
}

_CLASSIC = {
    b"II*\0": "<",
    b"MM\0*": ">",
    b"IIRO": "<",  # Olympus
    b"IIRS": "<",
    b"MMOR": ">",
    b"IIU\0": "<",  # Panasonic
}
_BIG = {b"II+\0": "<", b"MM\0+": ">"}


class Entry(NamedTuple):
    """One entry of a directory, and where its value lies."""

    tag: int
    type: int
    length: int
    """How many values, as the file states it."""
    at: int
    """Offset of the value in the window."""
    size: int
    """Bytes of the value."""


class Directory(NamedTuple):
    """One directory: its entries by tag, each tag once, and where it ends."""

    at: int
    entries: dict[int, Entry]
    end: int
    """Behind its entries, as it states their number, in the window: the link to the next one."""


class _Layout(NamedTuple):
    number: struct.Struct
    """Of the number of entries."""
    entry: struct.Struct
    offset: struct.Struct
    inline: int
    """Bytes that fit into an entry."""


@lru_cache
def _layout(order: str, *, is_big: bool) -> _Layout:
    count, offset, inline = ("Q", "Q", 8) if is_big else ("H", "I", 4)
    return _Layout(
        struct.Struct(order + count),
        struct.Struct(f"{order}HH{offset}{inline}s"),
        struct.Struct(order + offset),
        inline,
    )


def is_tiff(start: bytes) -> bool:
    """Whether the first four bytes are those of a TIFF, a BigTIFF or a raw file built like one."""
    return start[:4] in _CLASSIC or start[:4] in _BIG


class Tiff:
    """The directories of a TIFF that begins at `start` of a window.

    A read outside the window raises `MoreBytesError`, as any read of a `Window` does;
    a value or directory that lies outside the *file* is left out, as it is no value.
    """

    __slots__ = ("_layout", "first", "is_big", "order", "start", "window")

    def __init__(self, window: Window, start: int = 0) -> None:
        """Read the byte order, and where the first directory is.

        Raises:
            ValueError: the bytes are no TIFF.
        """
        self.window, self.start = window, start
        magic = window.read(start, 4)
        order = _CLASSIC.get(magic) or _BIG.get(magic)
        if order is None:
            raise ValueError(f"A TIFF does not begin with {magic!r}.")
        self.order: str = order
        self.is_big = magic in _BIG
        self._layout = _layout(order, is_big=self.is_big)
        self.first: int = window.unpack(self._layout.offset, start + (8 if self.is_big else 4))[0]

    def without_header(self, start: int, order: str) -> Tiff:
        """Directories whose offsets count from `start`, as those of some makers' notes do.

        Args:
            start: offset in the window.
            order: of their bytes, `<` or `>`.
        """
        inner = object.__new__(Tiff)
        inner.window, inner.start, inner.order, inner.is_big = self.window, start, order, False
        inner._layout, inner.first = _layout(order, is_big=False), 0
        return inner

    def directory(self, offset: int, wanted: Collection[int] | None = None) -> Directory:
        """The directory at `offset` from the start of the TIFF.

        Args:
            offset: as another directory or a pointer states it.
            wanted: the tags to keep; all where None.

        Returns:
            The entries that the file has room for; none where `offset` lies outside the file.
        """
        count_layout, entry_layout, offset_layout, inline = self._layout
        at = self.start + offset
        size = self.window.size
        if offset <= 0 or at + count_layout.size > size:
            return Directory(offset, {}, size)
        at += count_layout.size
        stated: int = self.window.unpack(count_layout, at - count_layout.size)[0]
        count = min(stated, MAX_ENTRIES, (size - at) // entry_layout.size)
        table = self.window.read(at, count * entry_layout.size)
        entries: dict[int, Entry] = {}
        value_at = at + entry_layout.size - inline
        for tag, field_type, length, value in entry_layout.iter_unpack(table):
            if (wanted is None or tag in wanted) and tag not in entries and field_type in _TYPES:
                width = _TYPES[field_type][0] * length
                where = value_at if width <= inline else self.start + offset_layout.unpack(value)[0]
                if where + width <= size:
                    entries[tag] = Entry(tag, field_type, length, where, width)
            value_at += entry_layout.size
        return Directory(offset, entries, at + stated * entry_layout.size)

    def _following(self, at: int) -> int:
        """The link behind a directory; 0 where the file ends before it."""
        if at + self._layout.offset.size > self.window.size:
            return 0
        link = self.window.peek(at, self._layout.offset.size)
        return int(self._layout.offset.unpack(link)[0]) if link else 0

    def chain(self, wanted: Collection[int] | None = None) -> Iterator[Directory]:
        """The directories from the first on, each once, at most `MAX_DIRECTORIES`."""
        seen: set[int] = set()
        at = self.first
        while at and at not in seen and len(seen) < MAX_DIRECTORIES:
            seen.add(at)
            directory = self.directory(at, wanted)
            yield directory
            at = self._following(directory.end)

    def raw(self, entry: Entry, most: int = MAX_VALUE_BYTES) -> bytes:
        """The bytes of a value, at most the first `most` of them."""
        return self.window.read(entry.at, min(entry.size, most))

    def numbers(self, entry: Entry, most: int = MAX_VALUES) -> tuple[float, ...]:
        """The numbers of a value, at most the first `most`; of a rational both, top and bottom."""
        width, code = _TYPES[entry.type]
        length = min(entry.length, most)
        pairs = 2 if entry.type in RATIONALS else 1
        raw = self.window.read(entry.at, length * width)
        return struct.unpack(f"{self.order}{length * pairs}{code}", raw)

    def number(self, directory: Directory, tag: int) -> int | None:
        """The first whole number of a tag; None where the tag is missing or is no whole number."""
        entry = directory.entries.get(tag)
        if entry is None or not entry.length or entry.type in RATIONALS:
            return None
        value = self.numbers(entry, 1)[0]
        return value if isinstance(value, int) else None

    def children(self, directory: Directory, tag: int, most: int = 16) -> tuple[int, ...]:
        """Offsets of the directories that a tag points to: Exif, GPS, or several `SubIFDs`."""
        entry = directory.entries.get(tag)
        if entry is None or entry.type not in _POINTERS:
            return ()
        return tuple(int(number) for number in self.numbers(entry, most))


_POINTERS = frozenset({LONG, 13, 16, 18})
