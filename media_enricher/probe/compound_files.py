"""Compound files (MS-CFB), read by ranges: their directory, and the start of single streams.

Office files before 2007, Outlook's messages and Windows' installers are built so: a file system of
sectors. Each chain of sectors is followed to a limit, so that loops end.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from media_enricher.models import ErrorCode
from media_enricher.probe.source import UnreadableError, Window

SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
MAX_ENTRIES = 4_096
"""Of the directory that are read; a document with a hundred embedded ones has some thousand."""
MAX_STREAM = 256 * 1024
"""Bytes of a stream that are read."""

_ENTRY_BYTES = 128
_HEADER_BYTES = 512
_SHIFTS = (9, 12)
"""Powers of two: the sectors have 512 bytes, or 4,096."""
_SMALL_SECTOR = 64
_LISTED = 109
"""Sectors of the allocation table that the header lists."""
_MAX_LISTS = 256
"""Further lists of such sectors: 2 GB of file."""
_MAX_CHAIN = 100_000
_LAST_SECTOR = 0xFFFFFFFA
"""Higher numbers end a chain, or mean that there is no sector."""
_NO_ENTRY = 0xFFFFFFFF
_STORAGE, _STREAM, _ROOT = 1, 2, 5
_NUMBER = struct.Struct("<I")


class Entry(NamedTuple):
    """A storage or stream."""

    name: str
    kind: int
    left: int
    right: int
    child: int
    class_id: bytes
    start: int
    length: int


class CompoundFile:
    """The top level of a compound file.

    Attributes:
        root: says what the file is.
        entries: the storages and streams of the top level, by name.
    """

    def __init__(self, window: Window) -> None:
        """Read the directory.

        Raises:
            MoreBytesError: it is not held.
            UnreadableError: truncated, corrupt, or no compound file.
        """
        header = window.read(0, _HEADER_BYTES)
        (shift,) = struct.unpack_from("<H", header, 30)
        if header[:8] != SIGNATURE or shift not in _SHIFTS:
            raise UnreadableError(
                ErrorCode.CORRUPT,
                f"The compound file's header says sectors of 2 to the power of {shift} bytes.",
            )
        self._window = window
        self._sector = 1 << shift
        directory, self._cutoff, self._small_table = struct.unpack_from("<I4xII", header, 48)
        (self._next_list,) = struct.unpack_from("<I", header, 68)
        self._listed: tuple[int, ...] = struct.unpack_from(f"<{_LISTED}I", header, 76)
        entries = self._directory(directory)
        self.root = entries[0]
        self.entries = {entry.name: entry for entry in _siblings(entries, self.root.child)}
        self._small_stream: list[int] | None = None

    def read(self, entry: Entry, most: int = MAX_STREAM) -> bytes:
        """The first bytes of a stream.

        Args:
            entry: of the top level.
            most: bytes; never more than `MAX_STREAM`.

        Raises:
            MoreBytesError: they are not held.
            UnreadableError: truncated or corrupt.
        """
        length = min(entry.length, most, MAX_STREAM)
        if entry.length >= self._cutoff:
            sectors = self._chain(entry.start, -(-length // self._sector))
            return b"".join(self._window.read(*self._place(each)) for each in sectors)[:length]
        parts, number = [], entry.start
        for _ in range(-(-length // _SMALL_SECTOR)):
            if number >= _LAST_SECTOR:
                break
            parts.append(self._small(number * _SMALL_SECTOR))
            number = self._small_following(number)
        return b"".join(parts)[:length]

    def _directory(self, start: int) -> list[Entry]:
        entries: list[Entry] = []
        for sector in self._chain(start, MAX_ENTRIES * _ENTRY_BYTES // self._sector):
            content = self._window.read(*self._place(sector))
            entries += (
                _entry(content[at : at + _ENTRY_BYTES])
                for at in range(0, len(content), _ENTRY_BYTES)
            )
        if not entries or entries[0].kind != _ROOT:
            raise UnreadableError(
                ErrorCode.CORRUPT, "The compound file's directory does not begin with its root."
            )
        return entries

    def _place(self, sector: int) -> tuple[int, int]:
        """Where a sector begins, and its length; the last may be cut."""
        start = (sector + 1) * self._sector
        return start, max(min(self._sector, self._window.size - start), 1)

    def _chain(self, sector: int, most: int) -> list[int]:
        """At most so many sectors, from one on."""
        chain: list[int] = []
        while sector < _LAST_SECTOR and len(chain) < min(most, _MAX_CHAIN):
            chain.append(sector)
            if len(chain) < most:
                sector = self._following(sector)
        return chain

    def _following(self, sector: int) -> int:
        per_sector = self._sector // _NUMBER.size
        table = self._table_sector(sector // per_sector)
        return self._number(table, sector % per_sector)

    def _table_sector(self, index: int) -> int:
        """The sector of the allocation table with this index."""
        if index < _LISTED:
            return self._listed[index]
        per_list = self._sector // _NUMBER.size - 1
        lists, place = divmod(index - _LISTED, per_list)
        if lists >= _MAX_LISTS:
            raise UnreadableError(
                ErrorCode.CORRUPT, f"The compound file's table has no sector {index:,}."
            )
        at = self._next_list
        for _ in range(lists):
            at = self._number(at, per_list)
        return self._number(at, place)

    def _number(self, sector: int, index: int) -> int:
        if sector >= _LAST_SECTOR:
            raise UnreadableError(ErrorCode.CORRUPT, "A chain of the compound file leads nowhere.")
        (number,) = self._window.unpack(_NUMBER, (sector + 1) * self._sector + index * _NUMBER.size)
        return int(number)

    def _small(self, offset: int) -> bytes:
        """A small sector: they lie in a stream of their own, which is the root's."""
        if self._small_stream is None:
            self._small_stream = self._chain(self.root.start, MAX_STREAM // self._sector)
        index, within = divmod(offset, self._sector)
        if index >= len(self._small_stream):
            return b""
        start, _ = self._place(self._small_stream[index])
        return self._window.read(start + within, _SMALL_SECTOR)

    def _small_following(self, number: int) -> int:
        index, within = divmod(number * _NUMBER.size, self._sector)
        sectors = self._chain(self._small_table, index + 1)
        if index >= len(sectors):
            return _NO_ENTRY
        return self._number(sectors[index], within // _NUMBER.size)


def _entry(content: bytes) -> Entry:
    name_bytes, kind = struct.unpack_from("<HB", content.ljust(_ENTRY_BYTES, b"\0"), 64)
    left, right, child = struct.unpack_from("<III", content.ljust(_ENTRY_BYTES, b"\0"), 68)
    start, length = struct.unpack_from("<II", content.ljust(_ENTRY_BYTES, b"\0"), 116)
    name = content[: max(min(name_bytes, 64) - 2, 0)].decode("utf-16-le", "replace")
    return Entry(name, kind, left, right, child, content[80:96], start, length)


def _siblings(entries: list[Entry], first: int) -> list[Entry]:
    """The entries of one storage, which are a tree; each is visited once."""
    found, seen, waiting = [], set(), [first]
    while waiting:
        index = waiting.pop()
        if index in seen or index >= len(entries):
            continue
        seen.add(index)
        entry = entries[index]
        if entry.kind in {_STORAGE, _STREAM}:
            found.append(entry)
        waiting += (entry.left, entry.right)
    return found
