"""The boxes of ISO base media files (ISO/IEC 14496-12, 4.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from media_enricher.models import ErrorCode
from media_enricher.probe.source import UnreadableError, Window

_MAX_BOXES = 2_000


class Box(NamedTuple):
    """A box: its name, and where its content lies."""

    name: bytes
    start: int
    end: int


def boxes(
    window: Window, start: int, end: int, *, most: int = _MAX_BOXES, past_end: bool = False
) -> Iterator[Box]:
    """The boxes between two places. What ends before it begins, or is cut, ends the list.

    Args:
        window: the file.
        start: where the first begins.
        end: where they end.
        most: as many are read.
        past_end: whether a box may end behind `end`, as one that is cut does.

    Raises:
        MoreBytesError: the next box lies further on.
        UnreadableError: there are more than `most`, or too many in the whole file.
    """
    count = 0
    while start + 8 <= end:
        count += 1
        window.count_part()
        if count > most:
            raise UnreadableError(
                ErrorCode.CORRUPT, f"The file has more than {most:,} boxes in one place."
            )
        length, name = struct.unpack(">I4s", window.read(start, 8))
        content = start + 8
        if length == 1:
            if start + 16 > end:
                return
            (length,) = struct.unpack(">Q", window.read(start + 8, 8))
            content = start + 16
        stop = end if length == 0 else start + length
        if stop < content:
            return
        yield Box(name, content, stop if past_end else min(stop, end))
        start = stop
