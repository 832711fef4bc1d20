"""The duration of an ISO base media file in fragments, which its header does not know.

The last fragment of a track says when it begins (`tfdt`) and how long its samples are (`trun`). It
is found by walking over all boxes of a file that is held whole, else by the index at the end
(`mfra`), else by an index of the whole at the front (`sidx`) (ISO/IEC 14496-12, 8.8 and 8.16).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from media_enricher.probe.av.boxes import Box, boxes
from media_enricher.probe.source import Window

_MAX_FRAGMENTS = 20_000
_MAX_SAMPLES = 100_000
_MAX_INDEX = 256 * 1024


class Pace(NamedTuple):
    """How a track counts time."""

    timescale: int
    """Units a second."""
    sample_duration: int
    """Units of a sample that does not say its own; 0 for unknown."""


def duration(window: Window, paces: dict[int, Pace]) -> float | None:
    """Seconds up to the end of the last fragment; None where that is not known.

    Args:
        window: the file.
        paces: of each track, by its number.

    Raises:
        MoreBytesError: the index lies further on.
    """
    if window.is_complete:
        fragments = [
            box for box in boxes(window, 0, window.size, most=_MAX_FRAGMENTS) if box.name == b"moof"
        ]
    else:
        fragments = _last_fragments(window)
    ends = [_end(window, fragment, paces) for fragment in fragments]
    return max(ends, default=0.0) or _indexed(window)


def _end(window: Window, moof: Box, paces: dict[int, Pace]) -> float:
    """When the tracks of a fragment end, in seconds."""
    ends = [0.0]
    for traf in boxes(window, moof.start, moof.end):
        if traf.name != b"traf":
            continue
        begin = length = 0
        pace = Pace(0, 0)
        for box in boxes(window, traf.start, traf.end):
            if box.name == b"tfhd":
                pace = _pace(window, box, paces)
            elif box.name == b"tfdt":
                version = window.read(box.start, 1)[0]
                (begin,) = window.unpack(struct.Struct(">4xQ" if version else ">4xI"), box.start)
            elif box.name == b"trun":
                length += _run_length(window, box, pace.sample_duration)
        if pace.timescale:
            ends.append((begin + length) / pace.timescale)
    return max(ends)


def _pace(window: Window, tfhd: Box, paces: dict[int, Pace]) -> Pace:
    flags, track = window.unpack(struct.Struct(">II"), tfhd.start)
    pace = paces.get(track, Pace(0, 0))
    if flags & 0x8:
        at = tfhd.start + 8 + (8 if flags & 0x1 else 0) + (4 if flags & 0x2 else 0)
        pace = Pace(pace.timescale, window.unpack(struct.Struct(">I"), at)[0])
    return pace


def _run_length(window: Window, trun: Box, sample_duration: int) -> int:
    """The units that the samples of one run take."""
    flags, samples = window.unpack(struct.Struct(">II"), trun.start)
    if not flags & 0x100:
        return samples * sample_duration
    at = trun.start + 8 + (4 if flags & 0x1 else 0) + (4 if flags & 0x4 else 0)
    step = 4 * sum(1 for flag in (0x100, 0x200, 0x400, 0x800) if flags & flag)
    samples = min(samples, _MAX_SAMPLES, max(trun.end - at, 0) // step)
    table = window.read(at, samples * step)
    return sum(int.from_bytes(table[at : at + 4], "big") for at in range(0, len(table), step))


def _last_fragments(window: Window) -> list[Box]:
    """The fragments that the index at the end names last, for each track."""
    if window.size < 16:
        return []
    size, name, length = struct.unpack(">I4s4xI", window.read(window.size - 16, 16))
    if (size, name) != (16, b"mfro") or not 16 < length <= min(window.size, _MAX_INDEX):
        return []
    start = window.size - length
    places = set()
    for mfra in boxes(window, start, window.size):
        for box in boxes(window, mfra.start, mfra.end) if mfra.name == b"mfra" else ():
            if box.name == b"tfra":
                places.add(_last_place(window, box))
    found = []
    for place in sorted(places):
        if 0 < place < window.size:
            named = next(boxes(window, place, window.size), None)
            found += [named] if named is not None and named.name == b"moof" else []
    return found


def _last_place(window: Window, tfra: Box) -> int:
    version = window.read(tfra.start, 1)[0]
    lengths, count = window.unpack(struct.Struct(">8xII"), tfra.start)
    entry = (16 if version else 8) + sum((lengths >> shift & 3) + 1 for shift in (4, 2, 0))
    at = tfra.start + 16 + (count - 1) * entry
    if not count or at + entry > tfra.end:
        return 0
    (place,) = window.unpack(struct.Struct(">8xQ" if version else ">4xI"), at)
    return place


def _indexed(window: Window) -> float | None:
    """The length of what one segment index at the front lists; None for none, or several."""
    total, indexes = 0.0, 0
    for box in boxes(window, 0, window.size, most=_MAX_FRAGMENTS):
        if box.name == b"sidx":
            indexes += 1
            total += _index_length(window, box)
        elif box.name == b"mdat" and not window.is_complete:
            break
    return total if indexes == 1 and total else None


def _index_length(window: Window, sidx: Box) -> float:
    version = window.read(sidx.start, 1)[0]
    (timescale,) = window.unpack(struct.Struct(">8xI"), sidx.start)
    table = sidx.start + (28 if version else 20)
    (count,) = window.unpack(struct.Struct(">2xH"), table)
    length = min(12 * count, max(sidx.end - table - 4, 0) // 12 * 12)
    entries = struct.iter_unpack(">III", window.read(table + 4, length))
    units = sum(entry[1] for entry in entries)
    return units / timescale if timescale else 0.0
