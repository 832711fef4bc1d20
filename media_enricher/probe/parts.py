"""The parts of an object that were read so far, in order, with gaps between them."""

from __future__ import annotations

from collections.abc import Iterable

from media_enricher.probe.source import ByteRange


class Parts:
    """Grows as more is read; parts that touch become one. The first begins with the object."""

    def __init__(self, first: bytes = b"") -> None:
        self._parts: list[tuple[int, bytes]] = [(0, first)]

    @property
    def first(self) -> bytes:
        """The first bytes, without a gap."""
        return self._parts[0][1]

    @property
    def rest(self) -> list[tuple[int, bytes]]:
        """The parts behind the first gap, as (start, bytes)."""
        return self._parts[1:]

    @property
    def length(self) -> int:
        """The bytes of all parts."""
        return sum(len(part) for _, part in self._parts)

    @property
    def joined(self) -> bytes:
        """The bytes of all parts, one behind the other."""
        return b"".join([part for _, part in self._parts])

    @property
    def layout(self) -> list[tuple[int, int]]:
        """(start in the object, length) of each part of `joined`."""
        return [(start, len(part)) for start, part in self._parts]

    def missing(self, wanted: Iterable[ByteRange]) -> list[ByteRange]:
        """The pieces of the wanted ranges that are not held, in order."""
        missing = []
        for each in wanted:
            start = each.start
            for held_from, part in self._parts:
                held_to = held_from + len(part)
                if held_to <= start or held_from >= each.stop:
                    continue
                if held_from > start:
                    missing.append(ByteRange(start, held_from))
                start = held_to
            if start < each.stop:
                missing.append(ByteRange(start, each.stop))
        return missing

    def add(self, start: int, data: bytes) -> None:
        """Add bytes that were missing."""
        joined: list[tuple[int, bytes]] = []
        for at, part in sorted([*self._parts, (start, data)]):
            if joined and joined[-1][0] + len(joined[-1][1]) == at:
                joined[-1] = (joined[-1][0], joined[-1][1] + part)
            else:
                joined.append((at, part))
        self._parts = joined
