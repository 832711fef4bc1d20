"""Sound and film: containers by what they say they hold, and bare streams by their frames."""

from __future__ import annotations

import re
import struct

from media_enricher.probe.source import Window

_TAG_HEADER = 10
_MAX_TAGS = 4
_FRAMES = 3
"""Bare frames have signatures of eleven bits, so several have to follow each other."""
_MPEG_BIT_RATES = {  # kbit/s by (is MPEG-1, layer), ISO/IEC 11172-3 and 13818-3
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""By the two bits of the version: MPEG-1, MPEG-2 and MPEG-2.5."""
_ADTS_SAMPLE_RATES = 13
_TRANSPORT_PACKETS = ((188, 0), (192, 4), (204, 0))
"""Length and offset of the sync byte: ISO/IEC 13818-1, M2TS with time stamps, error correction."""

_OGG_CODECS: tuple[tuple[bytes, str], ...] = (
    (b"\x80theora", "video/ogg"),
    (b"BBCD\x00", "video/ogg"),  # Dirac
    (b"OVP80", "video/ogg"),
    (b"\x01video\x00", "video/ogg"),  # OGM
    (b"\x01vorbis", "audio/ogg"),
    (b"OpusHead", "audio/ogg"),
    (b"\x7fFLAC", "audio/ogg"),
    (b"Speex   ", "audio/ogg"),
    (b"fLaC", "audio/ogg"),
)
"""The first packet of a stream says its codec (RFC 5334)."""
_OGG_PAGE = 27
_MAX_OGG_PAGES = 16
_DOC_TYPE = re.compile(rb"\x42\x82(?:[\x81-\x9f]|\x40.|[\x01]\x00{6}.)(matroska|webm)", re.S)
"""EBML's element DocType (RFC 8794) with a length of one, two or eight bytes."""


def framed_type(window: Window) -> str | None:
    """The type of sound without a container: MPEG audio, AAC, FLAC; behind ID3v2 tags or bare.

    Raises:
        MoreBytesError: the first frame lies behind a tag that is not held.
    """
    start = _behind_tags(window)
    found = _frame_type(window, start)
    return found or ("audio/mpeg" if start else None)


def ogg_type(window: Window) -> str:
    """Film where one of the streams is, else sound; `application/ogg` for what is neither."""
    at, found = 0, "application/ogg"
    for _ in range(_MAX_OGG_PAGES):
        head = _read(window, at, _OGG_PAGE)
        if len(head) < _OGG_PAGE or head[:4] != b"OggS" or not head[5] & 2:
            break  # the first pages of all streams come before any other
        table = _read(window, at + _OGG_PAGE, head[26])
        content = at + _OGG_PAGE + head[26]
        packet = _read(window, content, 16)
        content_type = next((each for mark, each in _OGG_CODECS if packet.startswith(mark)), None)
        if content_type == "video/ogg":
            return content_type
        found = content_type or found
        at = content + sum(table)
    return found


def ebml_type(head: bytes) -> str | None:
    """Matroska or WebM, by the document type."""
    found = _DOC_TYPE.search(head[:256])
    if found is None:
        return None
    return "video/webm" if found[1] == b"webm" else "video/x-matroska"


def is_transport_stream(head: bytes) -> bool:
    """Whether packets of MPEG-TS follow each other: as many as are held, three at least."""
    for length, offset in _TRANSPORT_PACKETS:
        marks = head[offset : offset + 5 * length : length]
        if len(marks) >= 3 and not marks.strip(b"G"):
            return True
    return False


def is_quicktime_without_brand(head: bytes, size: int) -> bool:
    """QuickTime of before 2001 begins with any of its atoms; `size` is that of the file."""
    length = int.from_bytes(head[:4], "big")
    if head[4:8] in {b"moov", b"wide", b"free", b"skip", b"pnot"}:
        # Words that a text may have there, too, but not behind a length of less than 16 MB.
        return head[0] == 0 and 8 <= length <= size
    return head[4:8] == b"mdat" and (8 <= length <= size or length in {0, 1})


def _behind_tags(window: Window) -> int:
    """Where the sound begins, behind ID3v2 tags (id3.org, ID3v2.4 section 3.1)."""
    at = 0
    for _ in range(_MAX_TAGS):
        head = _read(window, at, _TAG_HEADER)
        if len(head) < _TAG_HEADER or head[:3] != b"ID3" or any(byte & 0x80 for byte in head[6:]):
            break
        length = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        at += _TAG_HEADER + length + (_TAG_HEADER if head[5] & 0x10 else 0)
    return at


def _frame_type(window: Window, start: int) -> str | None:
    if _read(window, start, 4) == b"fLaC":
        return "audio/flac"
    # A sound of fewer frames may end with the last of them.
    for length_of, content_type in ((_mpeg_frame, "audio/mpeg"), (_adts_frame, "audio/aac")):
        at, frames = start, 0
        while frames < _FRAMES and (length := length_of(_read(window, at, 6))):
            at, frames = at + length, frames + 1
        if frames == _FRAMES or (frames and at == window.size):
            return content_type
    return None


def _mpeg_frame(head: bytes) -> int:
    """The bytes of the frame of MPEG audio that begins here; 0 for none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate, frequency, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or rate in {0, 15} or frequency == 3:
        return 0
    bits = _MPEG_BIT_RATES[version == 3, layer][rate - 1] * 1000
    samples_a_second = _SAMPLE_RATES[version][frequency]
    if layer == 1:
        return (12 * bits // samples_a_second + padding) * 4
    return (72 if layer == 3 and version != 3 else 144) * bits // samples_a_second + padding


def _adts_frame(head: bytes) -> int:
    """The bytes of the frame of AAC (ISO/IEC 14496-3, 1.A.2) that begins here; 0 for none."""
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return 0
    length: int = struct.unpack_from(">I", head, 2)[0] >> 5 & 0x1FFF
    return length if length >= 7 and head[2] >> 2 & 15 < _ADTS_SAMPLE_RATES else 0


def _read(window: Window, at: int, length: int) -> bytes:
    """As `Window.read`, and what there is of it at the end of the object."""
    return window.read(at, min(length, window.size - at)) if at < window.size else b""
