"""AAC in ADTS frames (ISO/IEC 14496-3, 1.A.2) and AMR (RFC 4867): sound without a container.

Only all frames tell how long it is, so header depth does not know it. Neither is it known of more
than `MAX_FRAMES`, which would take too long to count.
"""

from __future__ import annotations

from media_enricher.models import ErrorCode
from media_enricher.probe.av import id3
from media_enricher.probe.av.codecs import AAC_RATES
from media_enricher.probe.av.header import AvHeader
from media_enricher.probe.source import UnreadableError, Window

MAX_FRAMES = 2_000_000
"""11 hours of AMR, 12 of AAC at 48 kHz: counting them takes about a second."""
_CHANNELS = (None, 1, 2, 3, 4, 5, 6, 8)
_NARROW = (12, 13, 15, 17, 19, 20, 26, 31, 5)
_WIDE = (17, 23, 32, 36, 40, 46, 50, 58, 60, 5)
"""Bytes of a frame of 20 ms, less its first, by its type."""
_AMR = {b"#!AMR\n": ("amr_nb", 8_000, _NARROW), b"#!AMR-WB\n": ("amr_wb", 16_000, _WIDE)}


def is_adts(head: bytes) -> bool:
    """Whether these are ADTS frames: two in a row that agree."""
    first = _adts_length(head)
    return first > 0 and (
        _adts_length(head[first:]) > 0 and head[first + 2] & 0xFC == head[2] & 0xFC
    )


def _adts_length(head: bytes) -> int:
    """The bytes of the ADTS frame that begins here; 0 for none."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return 0
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return length if length >= 7 and head[2] >> 2 & 15 < len(AAC_RATES) else 0


def read_adts(window: Window, header: AvHeader) -> None:
    """Fill in the first frame's parameters, and the duration of what is held whole.

    Raises:
        UnreadableError: there is no frame.
    """
    start = at = id3.size(window, 0)
    if start:
        id3.read(window, 0, header)
    head = window.read(at, min(7, window.size - at)) if at < window.size else b""
    if not _adts_length(head):
        raise UnreadableError(ErrorCode.CORRUPT, "The file has no ADTS frame where the first is.")
    rate = AAC_RATES[head[2] >> 2 & 15]
    header.has_audio, header.audio_codec, header.sample_rate = True, "aac", rate
    header.audio_channels = _CHANNELS[(head[2] & 1) << 2 | head[3] >> 6]
    if window.is_complete:
        frames = blocks = 0
        while length := _adts_length(bytes(window.data[at : at + 7])):
            blocks += 1 + (window.data[at + 6] & 3)
            at += length
            frames += 1
            if frames > MAX_FRAMES:
                return
        header.duration = blocks * 1024 / rate


def read_amr(window: Window, header: AvHeader) -> None:
    """Fill in the kind, and the duration of what is held whole."""
    start = window.read(0, min(9, window.size))
    mark = next((mark for mark in _AMR if start.startswith(mark)), None)
    if mark is None:
        raise UnreadableError(ErrorCode.CORRUPT, "The file does not begin with #!AMR.")
    header.audio_codec, header.sample_rate, lengths = _AMR[mark]
    header.has_audio, header.audio_channels = True, 1
    if window.is_complete:
        at, frames = len(mark), 0
        while at < window.size:
            kind = window.data[at] >> 3 & 15
            at += 1 + (lengths[kind] if kind < len(lengths) else 0)
            frames += 1
            if frames > MAX_FRAMES:
                return
        header.duration = frames * 0.02
