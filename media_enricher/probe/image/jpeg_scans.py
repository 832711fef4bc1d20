"""The scans of a JPEG that has several (ITU-T T.81, annex G), and which of them to decode."""

from __future__ import annotations

import re

import msgspec

from media_enricher.models import ErrorCode
from media_enricher.probe.image.jpeg import (
    END,
    FRAME_HEADERS,
    MAX_SEGMENTS,
    SCAN,
    next_segment,
)
from media_enricher.probe.source import Buffer, UnreadableError, Window

_MAX_SCANS = 200
"""Encoders write up to some 20; each makes a decoder go over all of the picture again."""
_MAX_COMPONENTS = 4
_COEFFICIENTS = 64
_UNKNOWN = 16
"""Bits of a coefficient that are not there yet: more than any has."""

# Within a scan, FF is followed by 00, a restart marker or fill: anything else ends the scan.
_MARKER_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_BETWEEN_SCANS = frozenset({0xC4, 0xCC, SCAN, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)})
"""Tables, lengths, scans, comments and data of applications."""
_ZEROS = bytes(256)
"""Not in the scans of waves (AC): a run of blocks without any is coded in two bytes, and with at
most 1,000 bits of corrections behind it."""


class Scans(msgspec.Struct):
    """What the scans of a JPEG are."""

    coarse_end: int | None = None
    """Behind the scans that hold every component's means; None where some lack them."""
    has_end: bool = False
    """The end marker is there."""
    is_complete: bool = False
    """Every bit of every coefficient has its scan. The last scan may be cut."""
    is_damaged: bool = False
    """There are bytes in the scans that no encoder writes."""


def read_scans(data: Buffer) -> Scans:
    """Walk from scan to scan; their data are passed over, not decoded.

    Raises:
        UnreadableError: so many scans or segments that decoding would take many seconds.
    """
    window = Window(data, len(data))
    scans = Scans()
    components: int | None = None
    means: set[int] = set()
    missing: dict[int, list[int]] = {}
    at, scan_count = 2, 0
    for _ in range(MAX_SEGMENTS):
        try:
            marker, length, start = next_segment(window, at)
        except UnreadableError as stopped:
            # The end marker, or a segment without a length, is corrupt; the file's end is not.
            scans.has_end = stopped.code is ErrorCode.CORRUPT
            break
        if scan_count and marker not in _BETWEEN_SCANS:
            scans.is_damaged = scans.has_end = True
            break
        at = start + length
        if marker in FRAME_HEADERS:
            components = (window.peek(start + 5, 1) or b"\0")[0]
        elif marker == SCAN:
            scan_count += 1
            if scan_count > _MAX_SCANS:
                break
            header = window.peek(start, length) or b""
            found = _MARKER_AFTER_SCAN.search(data, at)
            end = found.start() if found else window.held
            scans.is_damaged |= _has_waves(header) and _ZEROS in bytes(data[at:end])
            at = end
            means |= _components_with_means(header)
            _note_bits(header, missing)
            if scans.coarse_end is None and len(means) == components:
                scans.coarse_end = at
    else:
        scan_count = _MAX_SCANS + 1
    if scan_count > _MAX_SCANS:
        raise UnreadableError(
            ErrorCode.CORRUPT,
            f"The JPEG has more than {_MAX_SCANS:,} scans or {MAX_SEGMENTS:,} segments.",
        )
    scans.is_complete = len(missing) == components and not any(map(any, missing.values()))
    return scans


def coarse(data: Buffer, scans: Scans) -> bytes | None:
    """A JPEG cut after the scans that hold every component's mean (DC) values.

    At an eighth of the size a decoder uses little else: each 8x8 block becomes one pixel, which is
    its mean. What is left out are the last bit of the means and, where chroma is subsampled, its
    finer half. Decoding that takes 40% of the time; the error is about 1 of 255.

    Returns:
        A JPEG that ends properly; None where the file has no such scans, or ends without its
        marker: then only decoding all tells whether its last scan is cut.
    """
    if scans.coarse_end is None or not scans.has_end:
        return None
    return bytes(data[: scans.coarse_end]) + bytes((0xFF, END))


def _parsed(scan_header: bytes) -> tuple[bytes, int, int, int, int] | None:
    """Components, first and last coefficient, and the bits missing before and after the scan."""
    count = scan_header[0] if scan_header else 0
    if not 0 < count <= _MAX_COMPONENTS or len(scan_header) < 4 + 2 * count:
        return None
    start, end, bits = scan_header[1 + 2 * count : 4 + 2 * count]
    return scan_header[1 : 1 + 2 * count : 2], start, end, bits >> 4, bits & 15


def _components_with_means(scan_header: bytes) -> set[int]:
    """The components of which this scan is the first pass over the DC values."""
    parsed = _parsed(scan_header)
    if parsed is None:
        return set()
    components, start, _, before, _ = parsed
    return set(components) if start == 0 and before == 0 else set()


def _has_waves(scan_header: bytes) -> bool:
    parsed = _parsed(scan_header)
    return parsed is not None and 0 < parsed[1] <= parsed[2]


def _note_bits(scan_header: bytes, missing: dict[int, list[int]]) -> None:
    """Note how many bits of each coefficient are missing after this scan."""
    parsed = _parsed(scan_header)
    if parsed is None:
        return
    components, start, end, _, after = parsed
    for component in components:
        bits = missing.setdefault(component, [_UNKNOWN] * _COEFFICIENTS)
        for coefficient in range(start, min(end, _COEFFICIENTS - 1) + 1):
            bits[coefficient] = after
