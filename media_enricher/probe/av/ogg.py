"""Ogg (RFC 3533) with Vorbis, Opus (RFC 7845), FLAC, Speex and Theora.

The first pages say what the streams are. How long they are stands in the last page, at the end.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from media_enricher.models import ErrorCode
from media_enricher.probe.av import flac, vorbis_comments
from media_enricher.probe.av.header import AvHeader
from media_enricher.probe.source import UnreadableError, Window

_PAGE = struct.Struct("<4sBBqIIIB")
_MAX_PAGES = 200
_MAX_PACKET = 1024 * 1024
_TAIL = 65_536 + 300
"""More than any page has."""


class Page(NamedTuple):
    """A page: its stream, how far that is with it, its packets' pieces, and where it ends."""

    serial: int
    granule: int
    is_first: bool
    packets: list[bytes]
    goes_on: bool
    """The last piece goes on in the next page of the stream."""
    end: int


class _Stream:
    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.partial = b""
        self.rate = 0.0
        self.skipped = 0
        self.shift = 0
        self.is_film = False


def _page(window: Window, at: int) -> Page | None:
    if at + _PAGE.size > window.size:
        return None
    head = window.read(at, _PAGE.size)
    mark, _, flags, granule, serial, _, _, segments = _PAGE.unpack(head)
    if mark != b"OggS":
        return None
    table = window.read(at + _PAGE.size, segments)
    start = at + _PAGE.size + segments
    content = window.read(start, min(sum(table), window.size - start))
    packets, piece_at, length = [], 0, 0
    for lacing in table:
        length += lacing
        if lacing < 255:
            packets.append(content[piece_at : piece_at + length])
            piece_at, length = piece_at + length, 0
    goes_on = bool(table) and table[-1] == 255
    if goes_on:
        packets.append(content[piece_at:])
    return Page(serial, granule, bool(flags & 2), packets, goes_on, start + sum(table))


def read(window: Window, header: AvHeader) -> None:
    """Fill in the streams' parameters, comments and duration.

    Raises:
        MoreBytesError: the last page is not held.
        UnreadableError: there is no stream that is known.
    """
    streams = _first_packets(window)
    for stream in streams.values():
        _describe(stream, header)
    if not (header.has_audio or header.has_video):
        raise UnreadableError(ErrorCode.UNSUPPORTED_TYPE, "No stream of the Ogg file is known.")
    header.duration = _duration(window, streams)


def _first_packets(window: Window) -> dict[int, _Stream]:
    """The first two packets of each stream: what it is, and its comments."""
    streams: dict[int, _Stream] = {}
    at = 0
    for _ in range(_MAX_PAGES):
        page = _page(window, at)
        if page is None:
            break
        if page.is_first:
            streams.setdefault(page.serial, _Stream())
        stream = streams.get(page.serial)
        if stream is not None:
            for number, piece in enumerate(page.packets):
                stream.partial += piece[: _MAX_PACKET - len(stream.partial)]
                if not (page.goes_on and number == len(page.packets) - 1):
                    stream.packets.append(stream.partial)
                    stream.partial = b""
        if streams and all(len(each.packets) >= 2 for each in streams.values()):
            break
        at = page.end
    return streams


def _describe(stream: _Stream, header: AvHeader) -> None:
    first, *rest = stream.packets or [b""]
    comments = rest[0] if rest else b""
    if first[:7] == b"\x01vorbis" and len(first) >= 16:
        channels, rate = struct.unpack_from("<BI", first, 11)
        _sound(stream, header, "vorbis", channels, rate)
        vorbis_comments.read(comments[7:], header)
    elif first[:8] == b"OpusHead" and len(first) >= 12:
        stream.skipped = int.from_bytes(first[10:12], "little")
        _sound(stream, header, "opus", first[9], 48_000)
        vorbis_comments.read(comments[8:], header)
    elif first[:5] == b"\x7fFLAC" and len(first) >= 51:
        flac.read_stream_info(first[17:51], header)
        stream.rate = float(header.sample_rate or 0)
        vorbis_comments.read(comments[4:], header)
    elif first[:8] == b"Speex   " and len(first) >= 52:
        rate, channels = struct.unpack_from("<I8xI", first, 36)
        _sound(stream, header, "speex", channels, rate)
        vorbis_comments.read(comments, header)
    elif first[:7] == b"\x80theora" and len(first) >= 42:
        _describe_film(stream, first, header)
        vorbis_comments.read(comments[7:], header)


def _sound(stream: _Stream, header: AvHeader, codec: str, channels: int, rate: int) -> None:
    stream.rate = float(rate)
    if not header.has_audio:
        header.has_audio, header.audio_codec = True, codec
        header.audio_channels, header.sample_rate = channels or None, rate or None


def _describe_film(stream: _Stream, first: bytes, header: AvHeader) -> None:
    """Theora's identification header (Theora specification, 6.2)."""
    width, height = (int.from_bytes(first[at : at + 3], "big") for at in (14, 17))
    rate, per_rate = struct.unpack_from(">II", first, 22)
    across, down = (int.from_bytes(first[at : at + 3], "big") for at in (30, 33))
    stream.is_film, stream.shift = True, (first[40] & 3) << 3 | first[41] >> 5
    header.has_video, header.video_codec = True, "theora"
    header.width, header.height = width or None, height or None
    header.pixel_aspect = across / down if across and down else 1.0
    if rate and per_rate:
        stream.rate = header.frame_rate = rate / per_rate


def _duration(window: Window, streams: dict[int, _Stream]) -> float | None:
    """The longest of what the last pages say."""
    start = max(window.size - _TAIL, 0)
    tail = window.read(start, window.size - start)
    longest = 0.0
    at = tail.find(b"OggS")
    while at >= 0 and at + _PAGE.size <= len(tail):
        _, _, _, granule, serial, _, _, _ = _PAGE.unpack_from(tail, at)
        stream = streams.get(serial)
        if stream is not None and stream.rate and granule > 0:
            units = granule - stream.skipped
            if stream.is_film:
                units = (granule >> stream.shift) + (granule & (1 << stream.shift) - 1)
            longest = max(longest, units / stream.rate)
        at = tail.find(b"OggS", at + 4)
    return longest or None
