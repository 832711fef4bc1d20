"""MP4, QuickTime, M4A and 3GP: ISO base media files (ISO/IEC 14496-12, QuickTime File Format).

The header, `moov`, may lie behind all the media. Its large tables are passed over by their
lengths, so that a film of an hour costs a few ranges.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from media_enricher.models import ErrorCode
from media_enricher.probe.av import elementary_streams, fragments, iso_tags, mpeg_audio
from media_enricher.probe.av.boxes import Box, boxes
from media_enricher.probe.av.codecs import (
    FOURCC_AUDIO,
    FOURCC_VIDEO,
    MPEG_OBJECT_VIDEO,
    four_characters,
    pcm,
)
from media_enricher.probe.av.header import AvHeader
from media_enricher.probe.fields.labels import HDR
from media_enricher.probe.source import UnreadableError, Window

_MAX_TRACKS = 100
_MAX_ENTRY = 16 * 1024
"""Bytes of a sample description: codec parameters, of which some hold tables."""
_EPOCH = datetime(1904, 1, 1, tzinfo=UTC)
_FIRST_PLAUSIBLE = datetime(1990, 1, 1, tzinfo=UTC)
"""No file of this kind is older; a clock that was never set is."""
_PQ, _HLG = 16, 18
"""Transfer characteristics of ITU-T H.273 that go beyond white."""
_C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")

_AC3_CHANNELS = (2, 1, 2, 3, 3, 4, 4, 5)
"""By the audio coding mode of AC-3 (ETSI TS 102 366, F.4)."""

_CHUNK_OFFSETS = {b"stco": struct.Struct(">8xI"), b"co64": struct.Struct(">8xQ")}
"""Tables of where chunks lie -> what reads the first."""


class Track:
    """What one `trak` says."""

    def __init__(self) -> None:
        self.number = 0
        self.kind = b""
        self.is_enabled = True
        self.duration = 0.0
        self.media_duration = 0
        self.timescale = 0
        self.samples = 0
        self.entry = Box(b"", 0, 0)
        self.quarter_turns = 0
        self.media_at: int | None = None
        """Where its first chunk of media lies in the file."""


def read(window: Window, header: AvHeader) -> None:
    """Fill in what `moov` says, wherever it lies.

    Raises:
        MoreBytesError: it lies further on.
        UnreadableError: there is none: the file is cut, or damaged.
    """
    last = Box(b"", 0, 0)
    seen = False
    for box in boxes(window, 0, window.size, past_end=True):
        last = box
        if box.name == b"moov" and not seen:
            seen = True
            _read_moov(window, Box(b"moov", box.start, min(box.end, window.size)), header)
            if window.peek(box.end, 16) is None:  # what follows is not worth another range
                break
        elif seen:
            break
        elif box.name == b"uuid" and box.end - box.start >= 16:
            header.has_credentials |= window.read(box.start, 16) == _C2PA
    header.is_cut = last.end > window.size
    if not seen or (last.name == b"moov" and header.is_cut):
        is_cut = header.is_cut or last.end == window.size
        raise UnreadableError(
            ErrorCode.TRUNCATED if is_cut else ErrorCode.CORRUPT,
            "The file has no whole box moov, which describes its streams.",
        )


def _read_moov(window: Window, moov: Box, header: AvHeader) -> None:
    tracks: list[Track] = []
    timescale = 0
    fragmented: Box | None = None
    for box in boxes(window, moov.start, moov.end):
        if box.name == b"mvhd":
            timescale = _read_movie_header(window, box, header)
        elif box.name == b"trak" and len(tracks) < _MAX_TRACKS:
            tracks.append(_track(window, box))
        elif box.name == b"udta":
            iso_tags.read_user_data(window, box, header)
        elif box.name == b"meta":
            iso_tags.read_meta(window, box, header)
        elif box.name == b"mvex":
            fragmented = box
        elif box.name == b"cmov":
            raise UnreadableError(
                ErrorCode.UNSUPPORTED_TYPE, "The header of this QuickTime file is compressed."
            )
    _describe(window, tracks, header)
    header.duration = header.duration or max((each.duration for each in tracks), default=0) or None
    if fragmented is not None:
        longer = _fragmented_duration(window, fragmented, timescale, tracks)
        header.duration = max(header.duration or 0.0, longer or 0.0) or None


def _read_movie_header(window: Window, box: Box, header: AvHeader) -> int:
    """Duration and time of making; returns the units a second of the movie."""
    version = window.read(box.start, 1)[0]
    layout = struct.Struct(">4xQQIQ" if version == 1 else ">4xIIII")
    created, _, timescale, duration = window.unpack(layout, box.start)
    header.duration = _seconds(duration, timescale, version)
    header.created = _moment(created)
    return timescale


def _seconds(duration: int, timescale: int, version: int) -> float | None:
    unknown = 2**64 - 1 if version == 1 else 2**32 - 1
    return duration / timescale if timescale and 0 < duration < unknown else None


def _moment(created: int) -> datetime | None:
    try:
        moment = _EPOCH + timedelta(seconds=created)
    except OverflowError:
        return None
    return moment if moment >= _FIRST_PLAUSIBLE else None


def _fragmented_duration(
    window: Window, mvex: Box, timescale: int, tracks: list[Track]
) -> float | None:
    """Of a file in fragments: what the header says of them, or what they say themselves."""
    sample_durations: dict[int, int] = {}
    for box in boxes(window, mvex.start, mvex.end):
        if box.name == b"mehd" and timescale:
            version = window.read(box.start, 1)[0]
            layout = struct.Struct(">4xQ" if version == 1 else ">4xI")
            if units := window.unpack(layout, box.start)[0]:
                return units / timescale
        elif box.name == b"trex":
            number, sample_duration = window.unpack(struct.Struct(">4xI4xI"), box.start)
            sample_durations[number] = sample_duration
    paces = {
        track.number: fragments.Pace(track.timescale, sample_durations.get(track.number, 0))
        for track in tracks
    }
    return fragments.duration(window, paces)


def _track(window: Window, trak: Box) -> Track:
    track = Track()
    for box in boxes(window, trak.start, trak.end):
        if box.name == b"tkhd":
            version, flags = struct.unpack(">B3s", window.read(box.start, 4))
            track.is_enabled = bool(flags[2] & 1)
            number_at = box.start + (20 if version == 1 else 12)
            (track.number,) = window.unpack(struct.Struct(">I"), number_at)
            matrix = box.start + (52 if version == 1 else 40)
            a, b, _, c, d = window.unpack(struct.Struct(">iiiii"), matrix)
            track.quarter_turns = _quarter_turns(a, b, c, d)
        elif box.name == b"mdia":
            _read_media(window, box, track)
    return track


def _quarter_turns(a: int, b: int, c: int, d: int) -> int:
    """Clockwise, of the matrix (a b; c d)."""
    if abs(b) > abs(a) and abs(c) > abs(d):
        return 1 if b > 0 else 3
    return 2 if a < 0 and d < 0 else 0


def _read_media(window: Window, mdia: Box, track: Track) -> None:
    for box in boxes(window, mdia.start, mdia.end):
        if box.name == b"mdhd":
            version = window.read(box.start, 1)[0]
            layout = struct.Struct(">20xIQ" if version == 1 else ">12xII")
            track.timescale, duration = window.unpack(layout, box.start)
            seconds = _seconds(duration, track.timescale, version)
            track.duration, track.media_duration = seconds or 0.0, duration if seconds else 0
        elif box.name == b"hdlr":
            track.kind = window.read(box.start + 8, 4)
        elif box.name == b"minf":
            for inner in boxes(window, box.start, box.end):
                if inner.name == b"stbl":
                    _read_samples(window, inner, track)


def _read_samples(window: Window, stbl: Box, track: Track) -> None:
    for box in boxes(window, stbl.start, stbl.end):
        if box.name == b"stsd":
            track.entry = next(boxes(window, box.start + 8, box.end), track.entry)
        elif box.name in {b"stsz", b"stz2"}:
            (track.samples,) = window.unpack(struct.Struct(">8xI"), box.start)
        elif box.name in _CHUNK_OFFSETS and window.unpack(struct.Struct(">4xI"), box.start)[0]:
            (track.media_at,) = window.unpack(_CHUNK_OFFSETS[box.name], box.start)


def _describe(window: Window, tracks: list[Track], header: AvHeader) -> None:
    films = [track for track in tracks if track.kind == b"vide" and track.entry.name]
    sounds = [track for track in tracks if track.kind == b"soun" and track.entry.name]
    header.has_video, header.has_audio = bool(films), bool(sounds)
    if films:
        # The first that is shown; pictures for chapters are tracks, too, and not enabled.
        film = next((track for track in films if track.is_enabled), films[0])
        _describe_film(window, film, header)
    if sounds:
        sound = next((track for track in sounds if track.is_enabled), sounds[0])
        _describe_sound(window, sound, header)


def _describe_film(window: Window, track: Track, header: AvHeader) -> None:
    name, start, end = track.entry
    entry = window.read(start, min(end - start, _MAX_ENTRY))
    header.video_codec = four_characters(name, FOURCC_VIDEO)
    header.quarter_turns = track.quarter_turns
    if len(entry) < 28:
        return
    header.width, header.height = struct.unpack_from(">HH", entry, 24)
    if track.media_duration and track.samples:
        header.frame_rate = track.samples * track.timescale / track.media_duration
    for box_name, content in _inner(entry, 78):
        if box_name == b"pasp" and len(content) >= 8:
            across, down = struct.unpack_from(">II", content)
            header.pixel_aspect = across / down if across and down else 1.0
        elif box_name == b"clap" and len(content) >= 16:
            width_n, width_d, height_n, height_d = struct.unpack_from(">IIII", content)
            if width_d and height_d and width_n >= width_d and height_n >= height_d:
                header.width = min(header.width, width_n // width_d)
                header.height = min(header.height, height_n // height_d)
        elif box_name == b"colr" and content[:4] in {b"nclx", b"nclc"} and len(content) >= 10:
            if struct.unpack_from(">H", content, 6)[0] in {_PQ, _HLG}:
                header.labels.append(HDR)
        elif box_name == b"esds":
            kind, _ = elementary_streams.read(content)
            header.video_codec = MPEG_OBJECT_VIDEO.get(kind, header.video_codec)
    if not header.width or not header.height:
        header.width = header.height = None


def _describe_sound(window: Window, track: Track, header: AvHeader) -> None:
    name, start, end = track.entry
    entry = window.read(start, min(end - start, _MAX_ENTRY))
    header.audio_codec = four_characters(name, FOURCC_AUDIO)
    if len(entry) < 28:
        return
    version, channels, bits, rate = struct.unpack_from(">H6xHH4xI", entry, 8)
    header.audio_channels, header.sample_rate = channels or None, rate >> 16 or None
    inner_at = 28 + (16 if version == 1 else 0)
    if version == 2 and len(entry) >= 64:  # QuickTime's: its numbers are further on
        (exact,) = struct.unpack_from(">d", entry, 32)
        header.sample_rate = round(exact) if 0 < exact < 2**31 else None
        (header.audio_channels,) = struct.unpack_from(">I", entry, 40)
        flags, bits = struct.unpack_from(">I", entry, 52)[0], struct.unpack_from(">I", entry, 48)[0]
        if name == b"lpcm":
            header.audio_codec = pcm(bits, is_float=bool(flags & 1), is_big=bool(flags & 2))
        inner_at = 64
    for box_name, content in _sound_boxes(entry, inner_at):
        if box_name == b"esds":
            elementary_streams.describe_sound(content, header)
        elif box_name == b"dOps" and len(content) >= 2:
            header.audio_channels = content[1]
            header.sample_rate = 48_000  # what Opus decodes to, whatever it was made of
        elif box_name == b"dfLa" and len(content) >= 26:
            packed = int.from_bytes(content[18:26], "big")
            header.sample_rate = packed >> 44
            header.audio_channels = (packed >> 41 & 7) + 1
        elif box_name == b"dac3" and len(content) >= 3:
            packed = int.from_bytes(content[:3], "big")
            header.audio_channels = _AC3_CHANNELS[packed >> 11 & 7] + (packed >> 10 & 1)
        elif box_name == b"enda" and content[:2] == b"\0\1" and header.audio_codec:
            header.audio_codec = header.audio_codec.replace("be", "le")
        elif box_name == b"alac" and len(content) >= 28:
            header.audio_channels = content[13]
            header.sample_rate = int.from_bytes(content[24:28], "big")
        elif box_name == b"pcmC" and len(content) >= 6:
            header.audio_codec = pcm(
                content[5], is_float=name == b"fpcm", is_big=not content[4] & 1
            )
    if header.audio_codec == "mp3" and header.audio_channels is None:
        header.audio_channels = _mp3_channels(window, track)


def _mp3_channels(window: Window, track: Track) -> int | None:
    """The channels of MP3, of which only its frames know."""
    if track.media_at is None or track.media_at + 4 > window.size:
        return None
    first = mpeg_audio.frame(window.read(track.media_at, 4))
    return first.channels if first is not None else None


def _sound_boxes(entry: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
    """The boxes of a sound's description; QuickTime puts some into a box `wave`."""
    for name, content in _inner(entry, at):
        yield name, content
        if name == b"wave":
            yield from _inner(content, 0)


def _inner(data: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
    """The boxes in a description, which is held whole. Each takes at least its header."""
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if length < 8:
            return
        yield name, data[at + 8 : at + length]
        at += length
