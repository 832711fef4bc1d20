"""Videos and sounds in every container and codec that we read, made by ffmpeg, for `make trust`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_FILM = ("-f", "lavfi", "-i", "testsrc=size={size}:rate={rate}:duration={seconds}")
_TONE = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate={hz}:duration={seconds}")

_VIDEO: dict[str, tuple[tuple[str, str | None, str | None], ...]] = {
    "mp4": (
        ("h264", "libx264", "aac"),
        ("hevc", "libx265", "aac"),
        ("mpeg4", "mpeg4", "libmp3lame"),
        ("av1", "libsvtav1", "libopus"),
        ("vp9", "libvpx-vp9", "flac"),
        ("mjpeg", "mjpeg", "alac"),
        ("ac3", "libx264", "ac3"),
        ("silent", "libx264", None),
    ),
    "mov": (
        ("h264", "libx264", "aac"),
        ("prores", "prores_ks", "pcm_s16le"),
        ("png", "png", "pcm_s24be"),
        ("mjpeg", "mjpeg", "pcm_s16be"),
        ("mpeg4", "mpeg4", "pcm_f32le"),
        ("silent", "libx264", None),
        ("qtrle", "qtrle", "pcm_u8"),
    ),
    "mkv": (
        ("h264", "libx264", "aac"),
        ("hevc", "libx265", "ac3"),
        ("vp8", "libvpx", "libvorbis"),
        ("vp9", "libvpx-vp9", "libopus"),
        ("mpeg2", "mpeg2video", "mp2"),
        ("ffv1", "ffv1", "flac"),
        ("mpeg4", "mpeg4", "libmp3lame"),
        ("pcm", "mjpeg", "pcm_s16le"),
        ("silent", "libx264", None),
    ),
    "webm": (
        ("vp8", "libvpx", "libvorbis"),
        ("vp9", "libvpx-vp9", "libopus"),
        ("av1", "libsvtav1", "libopus"),
        ("silent", "libvpx", None),
    ),
    "avi": (
        ("mpeg4", "mpeg4", "libmp3lame"),
        ("mjpeg", "mjpeg", "pcm_s16le"),
        ("h264", "libx264", "ac3"),
        ("msmpeg4", "msmpeg4v2", "mp2"),
        ("huffyuv", "huffyuv", "pcm_u8"),
        ("silent", "mpeg4", None),
    ),
    "3gp": (
        ("h263", "h263", "aac"),
        ("h264", "libx264", "aac"),
        ("mpeg4", "mpeg4", None),
    ),
    "ogv": (
        ("theora", "libtheora", "libvorbis"),
        ("opus", "libtheora", "libopus"),
        ("silent", "libtheora", None),
    ),
    "ts": (("h264", "libx264", "aac"), ("mpeg2", "mpeg2video", "mp2")),
}
"""Extension -> (name, encoder of the film, encoder of the sound)."""

_AUDIO: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "m4a": (("aac", ("-c:a", "aac")), ("alac", ("-c:a", "alac"))),
    "mp3": (
        ("cbr", ("-b:a", "128k")),
        ("vbr", ("-q:a", "4")),
        ("bare", ("-b:a", "64k", "-write_xing", "0", "-id3v2_version", "0")),
        ("id3v23", ("-id3v2_version", "3")),
    ),
    "flac": (("16", ("-sample_fmt", "s16")), ("24", ("-sample_fmt", "s32"))),
    "ogg": (
        ("vorbis", ("-c:a", "libvorbis")),
        ("flac", ("-c:a", "flac")),
        ("opus", ("-c:a", "libopus")),
        ("speex", ("-c:a", "libspeex")),
    ),
    "opus": (("opus", ("-c:a", "libopus")),),
    "wav": (
        ("s16", ("-c:a", "pcm_s16le")),
        ("s24", ("-c:a", "pcm_s24le")),
        ("f32", ("-c:a", "pcm_f32le")),
        ("u8", ("-c:a", "pcm_u8")),
        ("adpcm", ("-c:a", "adpcm_ms")),
        ("alaw", ("-c:a", "pcm_alaw")),
        ("rf64", ("-rf64", "always")),
    ),
    "aiff": (("s16", ("-c:a", "pcm_s16be")), ("s24", ("-c:a", "pcm_s24be"))),
    "aifc": (
        ("sowt", ("-c:a", "pcm_s16le", "-f", "aiff")),
        ("mulaw", ("-c:a", "pcm_mulaw", "-f", "aiff")),
    ),
    "aac": (("adts", ("-c:a", "aac", "-f", "adts")),),
    "mka": (("opus", ("-c:a", "libopus")), ("pcm", ("-c:a", "pcm_s24le"))),
    "weba": (("opus", ("-c:a", "libopus", "-f", "webm")),),
}
"""Extension -> (name, arguments of ffmpeg)."""

_VARIANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "faststart": ("mp4", ("-movflags", "faststart")),
    "fragmented": ("mp4", ("-movflags", "frag_keyframe+empty_moov")),
    "dash": ("mp4", ("-movflags", "dash", "-g", "10")),
    "wide-pixels": ("mp4", ("-vf", "setsar=64/45")),
    "narrow-pixels": ("mkv", ("-vf", "setsar=10/11")),
    "wide-pixels-mov": ("mov", ("-vf", "setsar=4/3")),
    "titled": ("mp4", ("-metadata", "title=Häuser", "-metadata", "artist=A. B.")),
    "located": ("mov", ("-metadata", "location=+48.8577+002.2950/")),
    "dated": ("mp4", ("-metadata", "creation_time=2024-05-06T07:08:09Z")),
    "late": ("mp4", ("-output_ts_offset", "3")),
    "ntsc": ("mkv", ("-r", "30000/1001")),
    "pal": ("avi", ("-r", "25", "-c:v", "mpeg4", "-vf", "setsar=16/15")),
    "variable": ("mp4", ("-vf", "select='not(mod(n\\,3))+not(mod(n\\,5))'", "-vsync", "vfr")),
    "b-frames": ("mov", ("-bf", "3", "-g", "25")),
}
_AMR = {
    "narrow-12k2": (b"#!AMR\n", bytes((0x3C,)) + bytes(31)),
    "narrow-4k75": (b"#!AMR\n", bytes((0x04,)) + bytes(12)),
    "wide-23k85": (b"#!AMR-WB\n", bytes((0x44,)) + bytes(60)),
}
"""Name -> mark and a frame of 20 ms (RFC 4867, 5.3): not every ffmpeg has an encoder for it."""
_SHAPES = (("320x240", "25", "2"), ("638x360", "30", "3.2"), ("176x144", "12", "5"))
_SOUNDS = ((44100, 1, "3.5"), (48000, 2, "2"), (22050, 2, "6.25"))


def make(folder: Path) -> list[Path]:
    """Make all files, unless they are there; those that this ffmpeg can't make are left out."""
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as threads:
        made = list(threads.map(_make, _commands(folder)))
    made += [_of_frames(folder, name, *frames) for name, frames in _AMR.items()]
    turned = [_turn(path, turn) for path in made[:8] if path for turn in (90, 180, 270)]
    return sorted({path for path in [*made, *turned] if path is not None})


def _of_frames(folder: Path, name: str, mark: bytes, frame: bytes) -> Path:
    path = folder / f"sound-{name}.amr"
    path.write_bytes(mark + 150 * frame)
    return path


def _commands(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    for extension, kinds in _VIDEO.items():
        for name, film, sound in kinds:
            for number, (size, rate, seconds) in enumerate(_SHAPES):
                allowed = {"h263": "352x288"}.get(name, size)
                source = _filled(_FILM, size=allowed, rate=rate, seconds=seconds)
                tone = _filled(_TONE, hz="44100", seconds=seconds)
                encoded = ["-c:v", str(film), "-pix_fmt", *(_PIXELS.get(name, ["yuv420p"]))]
                encoded += ["-c:a", sound, "-strict", "-2"] if sound else ["-an"]
                inputs = [*source, *(tone if sound else [])]
                yield folder / f"{name}-{number}.{extension}", [*inputs, *encoded]
    for extension, sounds in _AUDIO.items():
        for name, arguments in sounds:
            for number, (hz, channels, seconds) in enumerate(_SOUNDS):
                tone = _filled(_TONE, hz=str(hz), seconds=seconds)
                ways = ["-ac", str(channels), *arguments]
                yield folder / f"sound-{name}-{number}.{extension}", [*tone, *ways]
    for name, (extension, arguments) in _VARIANTS.items():
        inputs = [
            *_filled(_FILM, size="352x288", rate="25", seconds="4"),
            *_filled(_TONE, hz="44100", seconds="4"),
        ]
        yield folder / f"variant-{name}.{extension}", [*inputs, "-pix_fmt", "yuv420p", *arguments]


_PIXELS = {
    "png": ["rgb24"],
    "qtrle": ["rgb24"],
    "prores": ["yuv422p10le"],
    "mjpeg": ["yuvj420p"],
    "pcm": ["yuvj420p"],
    "huffyuv": ["yuv422p"],
}


def _filled(arguments: tuple[str, ...], **values: str) -> list[str]:
    return [each.format(**values) if "{" in each else each for each in arguments]


def _make(task: tuple[Path, list[str]]) -> Path | None:
    path, arguments = task
    return _run([*arguments, str(path)], path)


def _turn(path: Path, degrees: int) -> Path | None:
    """The same streams, to be shown turned."""
    turned = path.with_name(f"turned-{degrees}-{path.name}")
    display = ["-i", str(path), "-c", "copy", "-metadata:s:v:0", f"rotate={degrees}", str(turned)]
    return _run(display, turned)


def _run(arguments: list[str], made: Path) -> Path | None:
    if made.exists():
        return made
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-y", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        made.unlink(missing_ok=True)
        print(f"ffmpeg makes no {made.name}: {done.stderr.decode().splitlines()[-1:]}")
        return None
    return made
