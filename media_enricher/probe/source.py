"""What a probe is given: the bytes of one object, or just their start, read without surprises."""

from __future__ import annotations

import mmap
import struct
from typing import NoReturn, TypeAlias

import msgspec

from media_enricher.models import ErrorCode

Buffer: TypeAlias = bytes | memoryview | mmap.mmap

MORE = 16 * 1024
"""Read this much past the byte that is missing, or twice what was read: few requests are enough."""


class ProbeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator decided about probing."""

    max_pixels: int = 100_000_000
    """Images of which more pixels would have to be decoded are not decoded."""
    location: bool = False
    """Whether latitude and longitude are kept."""
    exif_tags: tuple[str, ...] = ()
    """Names of the EXIF tags kept in `Findings.exif`."""


class UnreadableError(Exception):
    """The object has no metadata, or not all of it. The message is a sentence with the values."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class MoreBytesError(Exception):
    """The window ends before the header does, and the object goes on."""

    def __init__(self, first_bytes: int) -> None:
        super().__init__(f"the first {first_bytes:,} bytes are needed")
        self.first_bytes = first_bytes


class Window:
    """The first `held` bytes of an object of `size` bytes.

    Every read that leaves the window raises: `MoreBytesError` where the object goes on, and
    `UnreadableError` (truncated) where it does not. So a parser can't read past the end by mistake.
    """

    __slots__ = ("data", "held", "size")

    def __init__(self, data: Buffer, size: int) -> None:
        self.data = data
        self.held = len(data)
        self.size = max(size, self.held)

    @property
    def is_complete(self) -> bool:
        """Whether the whole object is here."""
        return self.held == self.size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`."""
        if offset + length > self.held:
            self.miss(offset + length)
        return bytes(self.data[offset : offset + length])

    def peek(self, offset: int, length: int) -> bytes | None:
        """As `read`, for what is welcome but not worth another request: None where not held."""
        if offset + length > self.held:
            return None
        return bytes(self.data[offset : offset + length])

    def unpack(self, layout: struct.Struct, offset: int) -> tuple[int, ...]:
        """Integers from `offset`."""
        if offset + layout.size > self.held:
            self.miss(offset + layout.size)
        return layout.unpack_from(self.data, offset)

    def miss(self, end: int) -> NoReturn:
        """Say that the window ends before `end`."""
        if end <= self.size and not self.is_complete:
            raise MoreBytesError(min(self.size, max(end + MORE, 2 * self.held)))
        raise UnreadableError(
            ErrorCode.TRUNCATED,
            f"The file ends at byte {self.size:,}, and its header goes on to byte {end:,}.",
        )
