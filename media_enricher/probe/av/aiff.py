"""AIFF and AIFF-C (Audio Interchange File Format 1.3)."""

from __future__ import annotations

from media_enricher.models import ErrorCode
from media_enricher.probe.av import id3
from media_enricher.probe.av.codecs import FOURCC_AUDIO, four_characters, pcm
from media_enricher.probe.av.header import AvHeader
from media_enricher.probe.av.riff import chunks
from media_enricher.probe.metadata.texts import decoded
from media_enricher.probe.source import UnreadableError, Window

_MAX_TEXT = 16 * 1024
_TEXTS = {b"NAME": "title", b"AUTH": "creator", b"(c) ": "copyright", b"ANNO": "description"}


def read(window: Window, header: AvHeader) -> None:
    """Fill in what the chunks say.

    Raises:
        MoreBytesError: they lie further on.
        UnreadableError: there is no chunk COMM, which describes the sound.
    """
    for chunk in chunks(window, 12, window.size, order=">"):
        length = chunk.end - chunk.start
        if chunk.name == b"COMM" and length >= 18:
            _describe(window.read(chunk.start, min(length, 64)), header)
        elif chunk.name in _TEXTS and not getattr(header, _TEXTS[chunk.name]):
            text = decoded(window.read(chunk.start, min(length, _MAX_TEXT))).strip("\0 ")
            setattr(header, _TEXTS[chunk.name], text or None)
        elif chunk.name in {b"ID3 ", b"id3 "}:
            id3.read(window, chunk.start, header)
    if not header.has_audio:
        raise UnreadableError(ErrorCode.CORRUPT, "The AIFF has no chunk COMM, which describes it.")


def _describe(content: bytes, header: AvHeader) -> None:
    channels, frames = int.from_bytes(content[:2], "big"), int.from_bytes(content[2:6], "big")
    bits, rate = int.from_bytes(content[6:8], "big"), _extended(content[8:18])
    header.has_audio = True
    header.audio_channels, header.sample_rate = channels or None, round(rate) or None
    coding = content[18:22]
    rounded = -(-bits // 8) * 8
    if coding in {b"", b"NONE", b"twos"}:
        header.audio_codec = pcm(rounded, is_big=True)
    else:
        header.audio_codec = four_characters(coding, FOURCC_AUDIO)
    if rate:
        header.duration = frames / rate


def _extended(data: bytes) -> float:
    """A number of 80 bits (IEEE 754, extended precision)."""
    exponent, mantissa = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:], "big")
    if not 0 < exponent < 0x401E + 32:  # negative, none, or beyond all sample rates
        return 0.0
    return float(mantissa * 2.0 ** (exponent - 16383 - 63))
