"""Matroska and WebM (RFC 8794, RFC 9559)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from media_enricher.models import ErrorCode
from media_enricher.probe.av.codecs import FOURCC_VIDEO, MATROSKA, WAVE_FORMATS, four_characters
from media_enricher.probe.av.header import AvHeader, Cover
from media_enricher.probe.fields.labels import HDR
from media_enricher.probe.source import UnreadableError, Window

_MAX_ELEMENTS = 5_000
_MAX_TEXT = 16 * 1024
_MAX_VALUES = 256 * 1024
"""Bytes of all the small children of one element, which are held together."""
_MAX_TRACKS = 100
_EPOCH = datetime(2001, 1, 1, tzinfo=UTC)

_EBML, _SEGMENT, _SEEK_HEAD, _SEEK = 0x1A45DFA3, 0x18538067, 0x114D9B74, 0x4DBB
_SEEK_ID, _SEEK_POSITION = 0x53AB, 0x53AC
_INFO, _SCALE, _DURATION, _DATE, _TITLE = 0x1549A966, 0x2AD7B1, 0x4489, 0x4461, 0x7BA9
_TRACKS, _TRACK, _TYPE, _CODEC, _PRIVATE = 0x1654AE6B, 0xAE, 0x83, 0x86, 0x63A2
_FRAME_TIME, _ENABLED = 0x23E383, 0xB9
_VIDEO, _WIDTH, _HEIGHT, _SHOWN_WIDTH, _SHOWN_HEIGHT = 0xE0, 0xB0, 0xBA, 0x54B0, 0x54BA
_SHOWN_UNIT, _CROP_BOTTOM, _CROP_TOP, _CROP_LEFT, _CROP_RIGHT = (
    0x54B2,
    0x54AA,
    0x54BB,
    0x54CC,
    0x54DD,
)
_COLOUR, _TRANSFER, _PROJECTION, _ROLL = 0x55B0, 0x55BA, 0x7670, 0x7675
_AUDIO, _RATE, _OUTPUT_RATE, _CHANNELS = 0xE1, 0xB5, 0x78B5, 0x9F
_BIT_DEPTH = 0x6264
_TAGS, _TAG, _TARGETS, _TARGET_TRACK, _SIMPLE = 0x1254C367, 0x7373, 0x63C0, 0x63C5, 0x67C8
_NAME, _STRING = 0x45A3, 0x4487
_ATTACHMENTS, _ATTACHED, _MEDIA_TYPE, _DATA = 0x1941A469, 0x61A7, 0x4660, 0x465C
_CLUSTER = 0x1F43B675


class Element(NamedTuple):
    """An element: its id, and where its content lies."""

    id: int
    start: int
    end: int


def elements(window: Window, start: int, end: int) -> Iterator[Element]:
    """The elements between two places; one of unknown size goes to the end.

    Raises:
        UnreadableError: there are absurdly many, here or in the whole file.
    """
    count = 0
    while start + 2 <= end:
        count += 1
        window.count_part()
        if count > _MAX_ELEMENTS:
            raise UnreadableError(
                ErrorCode.CORRUPT,
                f"The file has more than {_MAX_ELEMENTS:,} elements in one place.",
            )
        head = window.read(start, min(12, end - start))
        id_bytes = _width(head[0])
        if not 1 <= id_bytes <= 4 or id_bytes >= len(head):
            return
        size_bytes = _width(head[id_bytes])
        if not 1 <= size_bytes <= 8 or id_bytes + size_bytes > len(head):
            return
        content = start + id_bytes + size_bytes
        size = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big")
        mask = (1 << 7 * size_bytes) - 1
        stop = end if size & mask == mask else content + (size & mask)
        yield Element(int.from_bytes(head[:id_bytes], "big"), content, min(stop, end))
        start = stop


def _width(first: int) -> int:
    """The bytes of a number that begins with this byte; 9 for none."""
    return 9 - first.bit_length()


def read(window: Window, header: AvHeader) -> None:
    """Fill in what stands before the media, and what the index of the file names behind them.

    Raises:
        MoreBytesError: it lies further on.
        UnreadableError: there are no streams: cut, or damaged.
    """
    segment = next((e for e in elements(window, 0, window.size) if e.id == _SEGMENT), None)
    if segment is None:
        raise UnreadableError(ErrorCode.TRUNCATED, "The Matroska file has no segment.")
    found = _parts(window, segment)
    for part, read_part in _PARTS.items():
        if part in found:
            read_part(window, found[part], header)
    if not (header.has_video or header.has_audio):
        raise UnreadableError(ErrorCode.CORRUPT, "The Matroska file describes no stream.")


def _parts(window: Window, segment: Element) -> dict[int, Element]:
    """The parts of a segment that describe it: before the media, or where the index says."""
    found: dict[int, Element] = {}
    places: dict[int, int] = {}
    for element in elements(window, segment.start, segment.end):
        if element.id == _SEEK_HEAD:
            places = _places(window, element) | places
        elif element.id in _PARTS:
            found.setdefault(element.id, element)
        elif element.id == _CLUSTER:
            break
    for part in _PARTS.keys() - found.keys():
        at = segment.start + places.get(part, -segment.start)
        if segment.start < at < window.size:
            named = next(elements(window, at, segment.end), None)
            if named is not None and named.id == part:
                found[part] = named
    return found


def _places(window: Window, head: Element) -> dict[int, int]:
    places = {}
    for seek in elements(window, head.start, head.end):
        if seek.id == _SEEK:
            values = _values(window, seek)
            places[_unsigned(values.get(_SEEK_ID))] = _unsigned(values.get(_SEEK_POSITION))
    return places


def _values(window: Window, parent: Element) -> dict[int, bytes]:
    """The contents of an element's children, each id once, as far as they are small."""
    values: dict[int, bytes] = {}
    room = _MAX_VALUES
    for child in elements(window, parent.start, parent.end):
        length = child.end - child.start
        if child.id not in values and length <= min(_MAX_TEXT, room):
            values[child.id] = window.read(child.start, length)
            room -= length
    return values


def _children(window: Window, parent: Element) -> dict[int, Element]:
    children: dict[int, Element] = {}
    for child in elements(window, parent.start, parent.end):
        children.setdefault(child.id, child)
    return children


def _unsigned(data: bytes | None, default: int = 0) -> int:
    return int.from_bytes(data, "big") if data and len(data) <= 8 else default


def _real(data: bytes | None) -> float | None:
    layout = {4: ">f", 8: ">d"}.get(len(data or b""))
    if not layout or data is None:
        return None
    (number,) = struct.unpack(layout, data)
    return float(number) if 0 < abs(number) < 1e15 else None


def _text(data: bytes | None) -> str | None:
    return data.rstrip(b"\0").decode("utf-8", errors="replace") if data else None


def _read_info(window: Window, info: Element, header: AvHeader) -> None:
    values = _values(window, info)
    scale = _unsigned(values.get(_SCALE), 1_000_000)
    duration = _real(values.get(_DURATION))
    header.duration = duration * scale / 1e9 if duration and duration > 0 else None
    header.title = _text(values.get(_TITLE))
    if len(values.get(_DATE, b"")) == 8:
        since = int.from_bytes(values[_DATE], "big", signed=True)
        try:
            header.created = _EPOCH + timedelta(microseconds=since // 1000)
        except OverflowError:
            header.created = None


def _read_tracks(window: Window, tracks: Element, header: AvHeader) -> None:
    for number, track in enumerate(elements(window, tracks.start, tracks.end)):
        if track.id != _TRACK or number >= _MAX_TRACKS:
            continue
        values = _values(window, track)
        kind = _unsigned(values.get(_TYPE))
        codec = _text(values.get(_CODEC)) or ""
        inner = _children(window, track)
        if kind == 1 and not header.has_video:
            header.has_video = True
            header.video_codec = _video_codec(codec, values.get(_PRIVATE, b""))
            frame_time = _unsigned(values.get(_FRAME_TIME))
            header.frame_rate = 1e9 / frame_time if frame_time else None
            if _VIDEO in inner:
                _read_video(window, inner[_VIDEO], header)
        elif kind == 2 and not header.has_audio:
            header.has_audio = True
            sound = _values(window, inner[_AUDIO]) if _AUDIO in inner else {}
            header.audio_codec = _audio_codec(codec, values.get(_PRIVATE, b""), sound)
            header.audio_channels = _unsigned(sound.get(_CHANNELS), 1) or None
            rate = _real(sound.get(_OUTPUT_RATE)) or _real(sound.get(_RATE)) or 8000.0
            header.sample_rate = 48_000 if header.audio_codec == "opus" else round(rate)


def _video_codec(codec: str, private: bytes) -> str | None:
    if codec == "V_MS/VFW/FOURCC" and len(private) >= 20:
        return four_characters(private[16:20], FOURCC_VIDEO)
    if codec == "V_QUICKTIME" and len(private) >= 8:
        return four_characters(private[4:8], FOURCC_VIDEO)
    return MATROSKA.get(codec)


def _audio_codec(codec: str, private: bytes, sound: dict[int, bytes]) -> str | None:
    if codec.startswith("A_AAC"):
        return "aac"
    if codec == "A_MS/ACM" and len(private) >= 2:
        return WAVE_FORMATS.get(int.from_bytes(private[:2], "little"))
    bits = _unsigned(sound.get(_BIT_DEPTH), 16)
    uncompressed = {
        "A_PCM/INT/LIT": "pcm_u8" if bits == 8 else f"pcm_s{bits}le",
        "A_PCM/INT/BIG": f"pcm_s{bits}be",
        "A_PCM/FLOAT/IEEE": f"pcm_f{bits}le",
    }
    return MATROSKA.get(codec) or uncompressed.get(codec)


def _read_video(window: Window, video: Element, header: AvHeader) -> None:
    values, inner = _values(window, video), _children(window, video)
    width, height = _unsigned(values.get(_WIDTH)), _unsigned(values.get(_HEIGHT))
    width -= _unsigned(values.get(_CROP_LEFT)) + _unsigned(values.get(_CROP_RIGHT))
    height -= _unsigned(values.get(_CROP_TOP)) + _unsigned(values.get(_CROP_BOTTOM))
    if width <= 0 or height <= 0:
        return
    header.width, header.height = width, height
    shown_width = _unsigned(values.get(_SHOWN_WIDTH), width)
    shown_height = _unsigned(values.get(_SHOWN_HEIGHT), height)
    is_ratio = _unsigned(values.get(_SHOWN_UNIT)) in {0, 3}
    if is_ratio and shown_width and shown_height:
        header.pixel_aspect = shown_width * height / (shown_height * width)
    if _COLOUR in inner:
        transfer = _unsigned(_values(window, inner[_COLOUR]).get(_TRANSFER))
        header.labels += [HDR] if transfer in {16, 18} else []
    if _PROJECTION in inner:
        roll = _real(_values(window, inner[_PROJECTION]).get(_ROLL)) or 0.0
        header.quarter_turns = round(-roll / 90) % 4


def _read_tags(window: Window, tags: Element, header: AvHeader) -> None:
    for tag in elements(window, tags.start, tags.end):
        if tag.id != _TAG:
            continue
        children = list(elements(window, tag.start, tag.end))
        of_track = any(
            _TARGET_TRACK in _values(window, child) for child in children if child.id == _TARGETS
        )
        for child in children:
            if child.id == _SIMPLE:
                values = _values(window, child)
                name, text = _text(values.get(_NAME)) or "", _text(values.get(_STRING)) or ""
                _keep(header, name.upper(), text.strip(), of_track=of_track)


def _keep(header: AvHeader, name: str, text: str, *, of_track: bool) -> None:
    if not text or of_track:
        return
    if name == "TITLE":
        header.title = header.title or text
    elif name in {"ARTIST", "AUTHOR", "DIRECTOR", "LEAD_PERFORMER"}:
        header.creator = header.creator or text
    elif name in {"COMMENT", "DESCRIPTION", "SUMMARY", "SYNOPSIS"}:
        header.description = header.description or text
    elif name == "COPYRIGHT":
        header.copyright = header.copyright or text
    elif name in {"DATE_RECORDED", "DATE", "CREATION_TIME"}:
        header.taken = header.taken or text
    elif name == "KEYWORDS":
        header.add_keywords(text, ",")


def _read_attachments(window: Window, attachments: Element, header: AvHeader) -> None:
    for attached in elements(window, attachments.start, attachments.end):
        if attached.id != _ATTACHED or header.cover:
            continue
        inner = _children(window, attached)
        if _MEDIA_TYPE in inner and _DATA in inner:
            kind = inner[_MEDIA_TYPE]
            data = inner[_DATA]
            name = window.read(kind.start, min(kind.end - kind.start, 100))
            if name.startswith(b"image/"):
                header.cover = Cover(data.start, data.end - data.start)


_PARTS: dict[int, Callable[[Window, Element, AvHeader], None]] = {
    _INFO: _read_info,
    _TRACKS: _read_tracks,
    _TAGS: _read_tags,
    _ATTACHMENTS: _read_attachments,
}
"""What is read of a segment, in this order."""
