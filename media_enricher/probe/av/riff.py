"""AVI and WAV: Microsoft's RIFF, with RF64 and OpenDML for large ones."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from media_enricher.models import ErrorCode
from media_enricher.probe.av import id3
from media_enricher.probe.av.codecs import FOURCC_VIDEO, WAVE_FORMATS, four_characters, pcm
from media_enricher.probe.av.header import AvHeader
from media_enricher.probe.metadata.texts import decoded
from media_enricher.probe.source import UnreadableError, Window

_MAX_CHUNKS = 2_000
_MAX_STREAMS = 100
_MAX_TEXT = 16 * 1024
_UNKNOWN = 0xFFFFFFFF
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE


class Chunk(NamedTuple):
    """A chunk: its name, and where its content lies."""

    name: bytes
    start: int
    end: int


def chunks(
    window: Window, start: int, end: int, *, order: str = "<", past_end: bool = False
) -> Iterator[Chunk]:
    """The chunks between two places, to an even length each.

    Args:
        window: the file.
        start: where the first begins.
        end: where they end.
        order: `<` for RIFF, `>` for AIFF.
        past_end: whether a chunk may end behind `end`, as one that is cut does.

    Raises:
        UnreadableError: there are absurdly many, here or in the whole file.
    """
    count = 0
    while start + 8 <= end:
        count += 1
        window.count_part()
        if count > _MAX_CHUNKS:
            raise UnreadableError(
                ErrorCode.CORRUPT, f"The file has more than {_MAX_CHUNKS:,} chunks in one place."
            )
        name, length = struct.unpack(f"{order}4sI", window.read(start, 8))
        stop = start + 8 + length
        yield Chunk(name, start + 8, stop if past_end else min(stop, end))
        start = stop + length % 2


def read_wav(window: Window, header: AvHeader) -> None:
    """Fill in what a WAV says, `LIST INFO` and ID3 included."""
    block = data_bytes = samples = 0
    is_large = window.read(0, 4) in {b"RF64", b"BW64"}
    for chunk in chunks(window, 12, window.size, past_end=True):
        length = chunk.end - chunk.start
        if chunk.name == b"ds64" and is_large:
            data_bytes, samples = window.unpack(struct.Struct("<8xQQ"), chunk.start)
        elif chunk.name == b"fmt ":
            block = _read_wave_format(window.read(chunk.start, min(length, 64)), header)
        elif chunk.name == b"fact" and length >= 4 and not samples:
            (samples,) = window.unpack(struct.Struct("<I"), chunk.start)
        elif chunk.name == b"data":
            known = length if length != _UNKNOWN else window.size - chunk.start
            data_bytes = data_bytes if is_large and length == _UNKNOWN else known
            data_bytes = min(data_bytes, window.size - chunk.start)
            if is_large and length == _UNKNOWN:
                break
        elif chunk.name == b"LIST" and window.read(chunk.start, 4) == b"INFO":
            _read_info(window, chunk, header)
        elif chunk.name in {b"id3 ", b"ID3 "}:
            id3.read(window, chunk.start, header)
    if not header.has_audio:
        raise UnreadableError(ErrorCode.CORRUPT, "The WAV has no chunk fmt, which describes it.")
    is_pcm = (header.audio_codec or "").startswith("pcm")
    if is_pcm and block and header.sample_rate:
        header.duration = data_bytes / block / header.sample_rate
    elif samples not in {0, _UNKNOWN} and header.sample_rate:
        header.duration = samples / header.sample_rate
    elif header.bit_rate:
        header.duration = data_bytes * 8 / header.bit_rate


def _read_wave_format(content: bytes, header: AvHeader) -> int:
    """A WAVEFORMATEX; returns the bytes of a sample of all channels."""
    if len(content) < 14:
        return 0
    tag, channels, rate, byte_rate, block = struct.unpack_from("<HHIIH", content)
    bits = int.from_bytes(content[14:16], "little")
    if tag == _EXTENSIBLE and len(content) >= 26:
        tag = int.from_bytes(content[24:26], "little")
    header.has_audio = True
    header.audio_channels, header.sample_rate = channels or None, rate or None
    header.bit_rate = byte_rate * 8 or None
    if tag in {_PCM, _FLOAT}:
        bits = -(-bits // 8) * 8  # 20 bits lie in 24
        header.audio_codec = pcm(bits, is_float=tag == _FLOAT)
    else:
        header.audio_codec = WAVE_FORMATS.get(tag)
    return int(block)


def _read_info(window: Window, info: Chunk, header: AvHeader) -> None:
    for chunk in chunks(window, info.start + 4, info.end):
        text = decoded(window.read(chunk.start, min(chunk.end - chunk.start, _MAX_TEXT))).strip(
            "\0 "
        )
        if chunk.name == b"INAM":
            header.title = header.title or text
        elif chunk.name == b"IART":
            header.creator = header.creator or text
        elif chunk.name == b"ICMT":
            header.description = header.description or text
        elif chunk.name == b"ICOP":
            header.copyright = header.copyright or text
        elif chunk.name == b"ICRD":
            header.taken = header.taken or text
        elif chunk.name == b"IKEY":
            header.add_keywords(text.replace(",", ";"), ";")


def read_avi(window: Window, header: AvHeader) -> None:
    """Fill in what the list `hdrl` of an AVI says, and `INFO`."""
    seen = False
    for chunk in chunks(window, 12, window.size):
        if chunk.name == b"LIST":
            name = window.read(chunk.start, 4)
            if name == b"hdrl":
                seen = True
                _read_streams(window, chunk, header)
            elif name == b"INFO":
                _read_info(window, chunk, header)
            elif name == b"movi" and seen:
                break
    if not seen:
        raise UnreadableError(ErrorCode.TRUNCATED, "The AVI has no list hdrl, which describes it.")


def _read_streams(window: Window, hdrl: Chunk, header: AvHeader) -> None:
    lengths = []
    frames = 0
    for number, chunk in enumerate(chunks(window, hdrl.start + 4, hdrl.end)):
        name = window.read(chunk.start, 4) if chunk.name == b"LIST" else b""
        if name == b"strl" and number < _MAX_STREAMS:
            lengths.append(_read_stream(window, chunk, header))
        elif name == b"odml":
            for inner in chunks(window, chunk.start + 4, chunk.end):
                if inner.name == b"dmlh":
                    (frames,) = window.unpack(struct.Struct("<I"), inner.start)
    header.duration = max(lengths, default=0.0) or None
    if frames and header.frame_rate:
        header.duration = max(header.duration or 0.0, frames / header.frame_rate)


def _read_stream(window: Window, strl: Chunk, header: AvHeader) -> float:
    """One stream; returns its length in seconds."""
    kind, handler, seconds, rate = b"", b"", 0.0, None
    for chunk in chunks(window, strl.start + 4, strl.end):
        content = window.read(chunk.start, min(chunk.end - chunk.start, 1024))
        if chunk.name == b"strh" and len(content) >= 36:
            kind, handler = content[:4], content[4:8]
            scale, per_scale, _, length = struct.unpack_from("<IIII", content, 20)
            seconds = length * scale / per_scale if per_scale else 0.0
            rate = per_scale / scale if scale and per_scale else None
        elif chunk.name == b"strf" and kind == b"vids" and not header.has_video:
            header.has_video, header.frame_rate = True, rate
            if len(content) >= 20:
                width, height = struct.unpack_from("<ii", content, 4)
                header.width, header.height = abs(width) or None, abs(height) or None
                name = content[16:20] if content[16:20].strip(b"\0") else handler
                header.video_codec = four_characters(name, FOURCC_VIDEO)
        elif chunk.name == b"strf" and kind == b"auds" and not header.has_audio:
            _read_wave_format(content, header)
            header.bit_rate = None  # of the sound alone
        elif chunk.name == b"vprp" and len(content) >= 24 and header.width and header.height:
            down, across = struct.unpack_from("<HH", content, 20)
            if across and down:
                header.pixel_aspect = across / down * header.height / header.width
    return seconds
