"""Video and sound: the probe against ffprobe and mediainfo."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from media_enricher.models import Findings
from media_enricher.probe.av import iso_media
from media_enricher.probe.av.header import AvHeader
from media_enricher.probe.source import Window
from tests.probe.samples import full
from tests.trust import recordings
from tests.trust.comparison import Comparison, Disagreement, Rule
from tests.trust.tools import need, output

LEAST = 200
TOLERANCE_SECONDS = 0.05
_NEEDED = {
    "duration": 100.0, "size": 100.0, "video_codec": 100.0, "audio_codec": 100.0, "rotation": 100.0,
}  # fmt: skip
_ISO = frozenset({"mp4", "mov", "3gp"})
"""Formats whose header may say that the picture is shown turned."""


class Said(NamedTuple):
    """What a side says of one file. Durations in seconds, rotations in degrees clockwise."""

    duration: float | None
    size: tuple[int, int] | None
    video_codec: str | None
    audio_codec: str | None
    rotation: int | None


def compare(folder: Path) -> list[Comparison]:
    """Make the files, and hold the probe against each tool.

    Raises:
        ToolError: a tool is missing.
    """
    need("ffmpeg", "ffprobe", "mediainfo")
    files = recordings.make(folder)
    with ThreadPoolExecutor(2) as threads:
        probed = [_probed(path) for path in files]
        ffprobe = list(threads.map(_by_ffprobe, files))
        mediainfo = list(threads.map(_by_mediainfo, files))
    first = Comparison("ffprobe", _NEEDED, _FFPROBE_RULES, least=LEAST)
    second = Comparison("mediainfo", _NEEDED, _MEDIAINFO_RULES, least=LEAST)
    for path, ours, one, other in zip(files, probed, ffprobe, mediainfo, strict=True):
        _add(first, path, ours, one, {})
        _add(second, path, ours, other, one._asdict())
    return [first, second]


def _add(
    comparison: Comparison, path: Path, ours: Said, theirs: Said, context: Mapping[str, Any]
) -> None:
    comparison.files += 1
    extension = path.suffix.removeprefix(".")
    for field in _NEEDED:
        mine, yours = getattr(ours, field), getattr(theirs, field)
        difference = Disagreement(
            path.name, extension, field, mine, yours, comparison.title, context
        )
        comparison.add(difference, same=_is_same(field, mine, yours))


def _is_same(field: str, ours: Any, theirs: Any) -> bool:
    if field == "duration" and None not in (ours, theirs):
        return bool(abs(ours - theirs) <= TOLERANCE_SECONDS)
    if field.endswith("codec") and theirs and theirs.endswith("*"):
        return bool(ours) and ours.startswith(theirs[:-1])
    return bool(ours == theirs)


def _probed(path: Path) -> Said:
    data = path.read_bytes()
    found = full(data, path.name)
    size = (found.width, found.height) if found.width and found.height else None
    return Said(
        found.duration_seconds, size, found.video_codec, found.audio_codec, _turned(data, found)
    )


def _turned(data: bytes, found: Findings) -> int | None:
    """Half a turn does not show in the size: the reader of the header is asked."""
    if found.format not in _ISO or not found.video_codec:
        return None
    header = AvHeader(found.format)
    iso_media.read(Window(data), header)
    return header.quarter_turns * 90


def _by_ffprobe(path: Path) -> Said:
    command = ["ffprobe", "-v", "error", "-print_format", "json", "-show_format", "-show_streams"]
    told = msgspec.json.decode(output([*command, path]))
    streams = told["streams"]
    film = next((each for each in streams if _is_film(each)), None)
    sound = next((each for each in streams if each["codec_type"] == "audio"), None)
    size, rotation = None, None
    if film:
        sides = film.get("side_data_list", [])
        counter = next((side["rotation"] for side in sides if "rotation" in side), 0)
        rotation = -int(counter) % 360  # ffprobe counts them anticlockwise
        aspect = film.get("sample_aspect_ratio", "1:1").split(":")
        across, down = (int(part) for part in aspect)
        size = _displayed(film["width"], film["height"], across / down if across else 1, rotation)
    duration = told["format"].get("duration")
    return Said(
        float(duration) if duration else None,
        size,
        film["codec_name"] if film else None,
        sound["codec_name"] if sound else None,
        rotation if path.suffix[1:] in _ISO else None,
    )


def _is_film(stream: dict[str, Any]) -> bool:
    return stream["codec_type"] == "video" and not stream["disposition"].get("attached_pic")


def _displayed(width: int, height: int, aspect: float, rotation: int) -> tuple[int, int]:
    """The size with square pixels, upright; a pixel's shorter side is what stays."""
    if aspect >= 1:
        width = round(width * aspect)
    else:
        height = round(height / aspect)
    return (height, width) if rotation % 180 else (width, height)


_CODECS = {
    "AVC": "h264", "HEVC": "hevc", "MPEG-4 Visual": "mpeg4", "AV1": "av1", "VP9": "vp9",
    "VP8": "vp8", "JPEG": "mjpeg", "ProRes": "prores", "PNG": "png", "RLE": "qtrle",
    "FFV1": "ffv1", "HuffYUV": "huffyuv", "Theora": "theora", "H.263": "h263",
    "MPEG Video": "mpeg2video", "AAC": "aac", "Opus": "opus", "FLAC": "flac", "ALAC": "alac",
    "AC-3": "ac3", "Vorbis": "vorbis", "Speex": "speex", "PCM": "pcm_*", "ADPCM": "adpcm_*",
    "AMR": "amr_*",
}  # fmt: skip
"""mediainfo's names; a star stands for all that follows, which it says in other fields."""
_LAYERS = {"Layer 2": "mp2", "Layer 3": "mp3"}


def _by_mediainfo(path: Path) -> Said:
    told = msgspec.json.decode(output(["mediainfo", "--Output=JSON", path]))
    tracks: dict[str, dict[str, str]] = {}
    for track in told["media"]["track"]:
        tracks.setdefault(track["@type"], track)
    film, sound = tracks.get("Video"), tracks.get("Audio")
    size, rotation = None, None
    if film:
        rotation = round(float(film.get("Rotation", 0))) % 360
        aspect = _aspect(film)
        size = _displayed(int(film["Width"]), int(film["Height"]), aspect, rotation)
    duration = tracks["General"].get("Duration")
    return Said(
        float(duration) if duration else None,
        size,
        _codec(film),
        _codec(sound),
        rotation if path.suffix[1:] in _ISO else None,
    )


def _aspect(film: dict[str, str]) -> float:
    """Of a pixel, from mediainfo's three decimals: from the fraction that fits them best."""
    given = float(film.get("PixelAspectRatio", 1))
    known = (1.0, 64 / 45, 10 / 11, 4 / 3, 16 / 15)
    return min(known, key=lambda each: abs(each - given))


def _codec(track: dict[str, str] | None) -> str | None:
    if track is None:
        return None
    name = track["Format"]
    if name == "MPEG Audio":
        return _LAYERS.get(track.get("Format_Profile", ""))
    return _CODECS.get(name, name)


def _ffprobe_agrees(difference: Disagreement) -> bool:
    return _is_same(difference.field, difference.ours, difference.context[difference.field])


def _is_estimate(difference: Disagreement) -> bool:
    is_near = abs(difference.ours - difference.theirs) < 0.05 * difference.ours
    return difference.format == "amr" and is_near


_FFPROBE_RULES = (
    Rule(
        "duration",
        "ffprobe estimates AMR by a nominal bit rate; the probe counts frames of 20 ms, and so "
        "does mediainfo",
        _is_estimate,
    ),
)
_MEDIAINFO_RULES = (
    Rule(
        "duration size video_codec audio_codec rotation",
        "ffprobe says the same as the probe, two against one",
        _ffprobe_agrees,
    ),
    Rule(
        "duration",
        "mediainfo says none of wide-band AMR; the probe counts frames of 20 ms",
        lambda each: each.format == "amr" and each.theirs is None,
    ),
)
