"""FLAC (RFC 9639)."""

from __future__ import annotations

from media_enricher.models import ErrorCode
from media_enricher.probe.av import id3, vorbis_comments
from media_enricher.probe.av.header import AvHeader, Cover
from media_enricher.probe.source import UnreadableError, Window

_MAX_BLOCKS = 200
_MAX_COMMENTS = 1024 * 1024
_STREAMINFO, _COMMENTS, _PICTURE = 0, 4, 6
_FRONT_COVER = 3


def read(window: Window, header: AvHeader) -> None:
    """Fill in what the metadata blocks say.

    Raises:
        MoreBytesError: they lie further on.
        UnreadableError: the first block is not what it must be.
    """
    at = id3.size(window, 0)
    if window.read(at, 4) != b"fLaC":
        raise UnreadableError(ErrorCode.CORRUPT, "The FLAC does not begin with fLaC.")
    at += 4
    for number in range(_MAX_BLOCKS):
        head = window.read(at, 4)
        kind, length = head[0] & 0x7F, int.from_bytes(head[1:], "big")
        if number == 0:
            if kind != _STREAMINFO or length < 34:
                raise UnreadableError(ErrorCode.CORRUPT, "The FLAC has no block STREAMINFO.")
            read_stream_info(window.read(at + 4, 34), header)
        elif kind == _COMMENTS and length <= _MAX_COMMENTS:
            vorbis_comments.read(window.read(at + 4, length), header)
        elif kind == _PICTURE:
            _keep_picture(window, at + 4, length, header)
        at += 4 + length
        if head[0] & 0x80:
            break


def read_stream_info(block: bytes, header: AvHeader) -> None:
    """Sample rate, channels and duration of a STREAMINFO."""
    packed = int.from_bytes(block[10:18], "big")
    rate, samples = packed >> 44, packed & (1 << 36) - 1
    header.has_audio, header.audio_codec = True, "flac"
    header.sample_rate = rate or None
    header.audio_channels = (packed >> 41 & 7) + 1
    if rate and samples:
        header.duration = samples / rate


def _keep_picture(window: Window, at: int, length: int, header: AvHeader) -> None:
    """Note where a picture lies; the front cover goes before any other."""
    if length < 32:
        return
    head = window.read(at, min(length, 1024))
    type_bytes = int.from_bytes(head[4:8], "big")
    text_at = 8 + type_bytes
    text_bytes = int.from_bytes(head[text_at : text_at + 4], "big")
    size_at = text_at + 4 + text_bytes + 16
    size = int.from_bytes(head[size_at : size_at + 4], "big")
    is_front = int.from_bytes(head[:4], "big") == _FRONT_COVER
    if size_at + 4 <= len(head) and size_at + 4 + size <= length and (is_front or not header.cover):
        header.cover = Cover(at + size_at + 4, size)
