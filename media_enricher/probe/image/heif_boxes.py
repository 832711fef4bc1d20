"""The boxes of a HEIF file (ISO/IEC 14496-12, 4.2), of the file and within one of them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from media_enricher.models import ErrorCode
from media_enricher.probe.source import UnreadableError, Window

_BOX = struct.Struct(">I4s")
LONG_START = 16
"""Bytes of the longer form of a box's start."""
_MAX_BOXES = 20_000


class Box(NamedTuple):
    """A box's name and where its content lies."""

    name: bytes
    start: int
    end: int


def top_level(window: Window) -> Iterator[Box]:
    """Boxes of the file; past the end of a partial window only as long as nothing is known."""
    at = 0
    for _ in range(_MAX_BOXES):
        if at + 8 > window.held:
            if window.is_complete:
                return
            window.miss(at + LONG_START)
        length, name = _BOX.unpack_from(window.data, at)
        start = at + 8
        if length == 1:
            length, start = int.from_bytes(window.read(at + 8, 8), "big"), at + 16
        end = window.size if length == 0 else at + length
        if end < start:
            raise UnreadableError(
                ErrorCode.CORRUPT, f"The box at byte {at:,} is {length} bytes long."
            )
        yield Box(name, start, end)
        at = end


def check(window: Window) -> None:
    """Compare the lengths of the file's boxes with what is there.

    Raises:
        UnreadableError: truncated.
    """
    for box in top_level(window):
        if box.end > window.size:
            raise UnreadableError(
                ErrorCode.TRUNCATED,
                f"The file ends at byte {window.size:,}, and its content at {box.end:,}.",
            )


def boxes(data: bytes, at: int = 0) -> Iterator[Box]:
    """Boxes within a box; stops where they stop making sense."""
    while at + 8 <= len(data):
        length, name = _BOX.unpack_from(data, at)
        end = len(data) if length == 0 else at + length
        if end < at + 8 or end > len(data):
            return
        yield Box(name, at + 8, end)
        at = end


def inner(data: bytes, wanted: bytes) -> bytes:
    """The content of the first box of a name within a box; empty where there is none."""
    return next((data[start:end] for name, start, end in boxes(data) if name == wanted), b"")
