"""What a probe is given: the bytes of one object, or parts of them, read without surprises."""

from __future__ import annotations

import io
import mmap
import struct
from collections.abc import Sequence
from typing import Any, NoReturn, TypeAlias

import msgspec

from media_enricher.models import ErrorCode

Buffer: TypeAlias = bytes | memoryview | mmap.mmap

MORE = 16 * 1024
"""Read this much past the byte that is missing, or twice what was read: few requests are enough."""
MAX_PARTS = 300_000
"""Boxes, elements and chunks that are walked over in one file, at all depths together. A limit for
each list alone would multiply with every list within it; walking over so many takes 1 to 4 s."""
_NEAR = 64 * 1024
"""A gap of so many bytes is read, too: that is cheaper than a range of its own, and readers that
look for a marker need bytes without a gap."""


class ProbeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator decided about probing."""

    max_pixels: int = 100_000_000
    """Images of which more pixels would have to be decoded are not decoded."""
    location: bool = False
    """Whether latitude and longitude are kept."""
    exif_tags: tuple[str, ...] = ()
    """Names of the EXIF tags kept in `Findings.exif`."""
    text_excerpt: bool = False
    """Whether the start of a document's text is kept."""


class UnreadableError(Exception):
    """The object has no metadata, or not all of it. The message is a sentence with the values."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class ByteRange(msgspec.Struct, frozen=True, array_like=True):
    """Bytes of an object, from `start` up to `stop`, which is not among them."""

    start: int
    stop: int


class MoreBytesError(Exception):
    """Bytes are needed that the window does not hold, and that the object has."""

    def __init__(self, wanted: ByteRange) -> None:
        super().__init__(f"the bytes from {wanted.start:,} to {wanted.stop:,} are needed")
        self.wanted = wanted


class Window:
    """What is held of an object of `size` bytes: its start, and perhaps parts further on.

    Every read that leaves what is held raises: `MoreBytesError` where the object goes on, and
    `UnreadableError` (truncated) where it does not. So a parser can't read past the end by mistake.

    Attributes:
        data: the first bytes, without a gap.
        held: how many those are.
        size: of the whole object.
    """

    __slots__ = ("_limit", "_parts", "_rest", "data", "held", "size")

    def __init__(
        self,
        data: Buffer,
        size: int | None = None,
        rest: Sequence[tuple[int, Buffer]] = (),
        limit: int | None = None,
    ) -> None:
        """Look at an object.

        Args:
            data: its first bytes.
            size: how many it has; None for those of `data`.
            rest: the parts further on, as (start, bytes), in order and with gaps between them.
            limit: the most bytes that may be held in all; None for as many as each probe asks for.
        """
        self.data = data
        self.held = len(data)
        self.size = max(size or 0, self.held)
        if rest:
            self.size = max(self.size, *(start + len(part) for start, part in rest))
        self._rest = rest
        self._limit = self.size if limit is None else limit
        self._parts = 0

    @property
    def is_complete(self) -> bool:
        """Whether the whole object is here."""
        return self.held == self.size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`."""
        end = offset + length
        if end <= self.held:  # as most are
            return bytes(self.data[offset:end])
        found = self.peek(offset, length)
        return self._miss(offset, offset + length) if found is None else found

    def peek(self, offset: int, length: int) -> bytes | None:
        """As `read`, for what is welcome but not worth another request: None where not held."""
        end = offset + length
        if end <= self.held:
            return bytes(self.data[offset:end])
        for start, part in self._rest:
            if start <= offset and end <= start + len(part):
                return bytes(part[offset - start : end - start])
        return None

    def unpack(self, layout: struct.Struct, offset: int) -> tuple[int, ...]:
        """Integers from `offset`."""
        if offset + layout.size <= self.held:
            return layout.unpack_from(self.data, offset)
        return layout.unpack(self.read(offset, layout.size))

    def count_part(self) -> None:
        """Count a box, element or chunk that a reader walks over.

        Raises:
            UnreadableError: there are more than `MAX_PARTS` in the file.
        """
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise UnreadableError(
                ErrorCode.CORRUPT, f"The file has more than {MAX_PARTS:,} parts in its lists."
            )

    def miss(self, end: int) -> NoReturn:
        """Say that the first bytes are needed up to `end`, without a gap."""
        self._miss(self.held, end)

    def may_ask(self, more: MoreBytesError, most: int) -> bool:
        """Whether a probe that looks at `most` bytes of an object may ask for these."""
        held = self.held + sum(len(part) for _, part in self._rest)
        return held + more.wanted.stop - more.wanted.start <= min(most, self._limit)

    def _miss(self, offset: int, end: int) -> NoReturn:
        """Ask for `offset` to `end`, or say that the object ends before.

        Behind a part that is held, at least as much again is asked for: few requests are enough.
        """
        if end > self.size or self.is_complete:
            raise UnreadableError(
                ErrorCode.TRUNCATED,
                f"The file ends at byte {self.size:,}, and its header goes on to byte {end:,}.",
            )
        start, more = offset, 0
        for part_start, length in ((0, self.held), *((at, len(part)) for at, part in self._rest)):
            if part_start <= offset <= part_start + length + _NEAR:
                start, more = part_start + length, length
        raise MoreBytesError(ByteRange(start, min(self.size, max(end + MORE, start + more))))


class WindowFile(io.RawIOBase):
    """A window as a file, for libraries that read one. It raises `MoreBytesError` as the window."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._at = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, also past the end."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._window.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """As many bytes as the buffer takes; fewer at the end."""
        length = max(0, min(len(buffer), self._window.size - self._at))
        if length:
            buffer[:length] = self._window.read(self._at, length)
        self._at += length
        return length
