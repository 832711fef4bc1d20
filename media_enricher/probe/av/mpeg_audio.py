"""MP3 and its siblings (ISO/IEC 11172-3, 13818-3): frames, one after the other, without an index.

A file of variable bit rate begins with a frame that holds the number of frames instead of sound
(Xing, Info, VBRI). Without one, only all frames tell how long the file is.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from media_enricher.models import ErrorCode
from media_enricher.probe.av import id3
from media_enricher.probe.av.header import AvHeader
from media_enricher.probe.source import UnreadableError, Window

_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""By the two bits of the version: 3 is MPEG-1, 2 is MPEG-2, 0 is MPEG-2.5."""
_BIT_RATES = {
    (3, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Kilobits a second, by (version, layer); MPEG-2's layer III is as its layer II."""
_SIDE = {(True, 1): 17, (True, 2): 32, (False, 1): 9, (False, 2): 17}
"""Bytes between a frame's header and its sound, by (is MPEG-1, channels)."""
_SEARCHED = 64 * 1024
MAX_FRAMES = 2_000_000
"""14 hours at 44.1 kHz. The duration of more is unknown: counting them would take too long."""
_MOST_GARBAGE = 4096


class Frame(NamedTuple):
    """A frame's header."""

    layer: int
    rate: int
    bit_rate: int
    channels: int
    samples: int
    length: int
    """Bytes, header included."""
    side: int
    """Bytes between the header and the sound."""


def frame(head: bytes) -> Frame | None:
    """What four bytes say, if they are the header of a frame."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate_index, sample_index, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or rate_index in {0, 15} or sample_index == 3:
        return None
    table = (3, layer) if version == 3 else (2, 1 if layer == 1 else 2)
    bit_rate = _BIT_RATES[table][rate_index - 1] * 1000
    rate = _RATES[version][sample_index]
    channels = 1 if head[3] >> 6 == 3 else 2
    if layer == 1:
        samples, length = 384, (12 * bit_rate // rate + padding) * 4
    else:
        samples = 576 if layer == 3 and version != 3 else 1152
        length = samples // 8 * bit_rate // rate + padding
    side = _SIDE[version == 3, channels]
    return Frame(layer, rate, bit_rate, channels, samples, length, side)


def is_mpeg_audio(head: bytes) -> bool:
    """Whether these are frames: two in a row that agree, or one that fills the bytes."""
    first = frame(head[:4])
    if first is None:
        return False
    second = frame(head[first.length : first.length + 4])
    if second is None:
        return False
    return (second.layer, second.rate) == (first.layer, first.rate)


def read(window: Window, header: AvHeader) -> None:
    """Fill in the tags, the first frame's parameters and the duration.

    Raises:
        MoreBytesError: the first frame lies behind a large tag.
        UnreadableError: there is no frame.
    """
    start = id3.size(window, 0)
    if start:
        id3.read(window, 0, header)
    at, first = _first_frame(window, start)
    header.has_audio = True
    header.audio_codec = f"mp{first.layer}"
    header.audio_channels, header.sample_rate = first.channels, first.rate
    frames = _counted(window, at, first)
    if frames is None and window.is_complete:
        frames = _count(window, at)
    if frames:
        header.duration = frames * first.samples / first.rate
    id3.read_v1(window, header)


def _first_frame(window: Window, start: int) -> tuple[int, Frame]:
    """The first of two frames in a row; some files have bytes without meaning before it."""
    length = min(_MOST_GARBAGE, window.size - start)
    data = window.read(start, length) if length > 0 else b""
    at = data.find(b"\xff")
    while at >= 0:
        found = frame(data[at : at + 4])
        if found is not None:
            following = start + at + found.length
            if following + 4 > window.size:
                return start + at, found
            if frame(window.read(following, 4)) is not None:
                return start + at, found
        at = data.find(b"\xff", at + 1)
    code = ErrorCode.TRUNCATED if start >= window.size else ErrorCode.CORRUPT
    raise UnreadableError(code, "The file has no MPEG audio frame where the first should be.")


def _counted(window: Window, at: int, first: Frame) -> int | None:
    """The frames that the first one counts."""
    content = window.read(at, min(first.length, window.size - at))
    mark = 4 + first.side
    if content[mark : mark + 4] in {b"Xing", b"Info"}:
        (flags,) = struct.unpack_from(">I", content.ljust(mark + 12, b"\0"), mark + 4)
        frames = int.from_bytes(content[mark + 8 : mark + 12], "big")
        return frames if flags & 1 and frames else None
    if content[36:40] == b"VBRI":
        return int.from_bytes(content[50:54], "big") or None
    return None


def _count(window: Window, at: int) -> int | None:
    """All frames from here on; None for more than `MAX_FRAMES`."""
    data, frames, garbage = window.data, 0, 0
    end = window.size
    while at + 4 <= end:
        found = frame(bytes(data[at : at + 4]))
        if found is None or found.length < 4:
            garbage += 1
            if garbage > _SEARCHED:
                break
            at += 1
            continue
        frames += 1
        if frames > MAX_FRAMES:
            return None
        at += found.length
    return frames
