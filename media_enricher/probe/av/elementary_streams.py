"""MPEG-4's elementary streams: what an `esds` box says of a codec, and AAC's own parameters."""

from __future__ import annotations

from media_enricher.probe.av.codecs import AAC_RATES, MPEG_OBJECT_AUDIO
from media_enricher.probe.av.header import AvHeader

_AAC_CHANNELS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8, 11: 7, 12: 8, 14: 8}
_SBR, _PS = 5, 29


def read(content: bytes) -> tuple[int, bytes]:
    """The object type and the decoder's parameters of an `esds` (ISO/IEC 14496-1, 7.2.6)."""
    at, kind, info = 4, 0, b""
    for _ in range(8):
        if at + 2 > len(content):
            break
        tag, at = content[at], at + 1
        length = 0
        for _ in range(4):
            if at >= len(content):
                return kind, info
            byte, at = content[at], at + 1
            length = length << 7 | byte & 0x7F
            if not byte & 0x80:
                break
        if tag == 3:
            flags = content[at + 2] if at + 2 < len(content) else 0
            at += 3 + (2 if flags & 0x80 else 0)
            if flags & 0x40 and at < len(content):
                at += 1 + content[at]
            at += 2 if flags & 0x20 else 0
        elif tag == 4:
            kind = content[at] if at < len(content) else 0
            at += 13
        elif tag == 5:
            return kind, content[at : at + length]
        else:
            at += length
    return kind, info


def describe_sound(content: bytes, header: AvHeader) -> None:
    """Fill in what the `esds` of a sound says."""
    kind, info = read(content)
    header.audio_codec = MPEG_OBJECT_AUDIO.get(kind, header.audio_codec)
    if header.audio_codec == "mp3":
        header.audio_channels = None  # the entry says 2 of mono, too
    if header.audio_codec != "aac" or len(info) < 2:
        return
    rate, channels = _aac_parameters(info)
    header.sample_rate = rate or header.sample_rate
    header.audio_channels = channels or header.audio_channels


def _aac_parameters(info: bytes) -> tuple[int | None, int | None]:
    """Sample rate and channels of an AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1)."""
    bits = _Bits(info)
    kind = _aac_object(bits)
    rate = _aac_rate(bits)
    channels = _AAC_CHANNELS.get(bits.take(4))
    if kind in {_SBR, _PS}:
        rate = _aac_rate(bits)
        channels = 2 if kind == _PS and channels == 1 else channels
    return rate, channels


def _aac_object(bits: _Bits) -> int:
    kind = bits.take(5)
    return 32 + bits.take(6) if kind == 31 else kind


def _aac_rate(bits: _Bits) -> int | None:
    index = bits.take(4)
    if index == 15:
        return bits.take(24) or None
    return AAC_RATES[index] if index < len(AAC_RATES) else None


class _Bits:
    """Numbers of some bits each, the highest first; zeros behind the end."""

    def __init__(self, data: bytes) -> None:
        self._number = int.from_bytes(data[:16].ljust(16, b"\0"), "big")
        self._left = 128

    def take(self, bits: int) -> int:
        self._left -= bits
        return self._number >> max(self._left, 0) & (1 << bits) - 1
