"""Media that the demo makes from its photographs: a phone's picture, a film, a sound, a document.

Each needs a package of its own (the extras `heif`, `video`); where one is missing, its file is.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

_SIDE = 640, 360
_FRAME_RATE = 25
_SECONDS = 4
_SAMPLE_RATE = 44_100
_PAGE = 595, 842
"""A4, in points."""


def write_recordings(photographs: list[Path], folder: Path) -> None:
    """Write one file of each kind.

    Args:
        photographs: at least three.
        folder: where to write.
    """
    makers: dict[str, tuple[str | None, Callable[[list[Path], Path], None]]] = {
        "phone.heic": ("pillow_heif", _write_heic),
        "terrace.mp4": ("av", _write_video),
        "evening.mp3": ("av", _write_sound),
        "brochure.pdf": (None, _write_pdf),
    }
    for name, (package, write) in makers.items():
        if package is None or importlib.util.find_spec(package) is not None:
            write(photographs, folder / name)


def _write_heic(photographs: list[Path], file: Path) -> None:
    """A photograph as a phone keeps it: HEIC, on its side, with EXIF that says so."""
    import pillow_heif  # noqa: PLC0415 - an extra

    image = _opened(photographs[0], (1600, 1600))
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Demo", "Phone"
    exif.get_ifd(ExifTags.IFD.Exif).update(
        {
            ExifTags.Base.DateTimeOriginal: "2026:06:01 18:30:00",
            ExifTags.Base.OffsetTimeOriginal: "+02:00",
        }
    )
    pillow_heif.from_pillow(image).save(str(file), quality=60, exif=exif.tobytes())


def _write_video(photographs: list[Path], file: Path) -> None:
    """A film of some seconds: three photographs, one after the other, and a tone."""
    import av  # noqa: PLC0415 - an extra

    width, height = _SIDE
    frames = [_opened(path, _SIDE).resize(_SIDE) for path in photographs[:3]]
    with av.open(str(file), "w", options={"movflags": "faststart"}) as container:
        container.metadata["title"] = "Three terraces"
        video = container.add_stream("libx264", rate=_FRAME_RATE)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        sound = container.add_stream("aac", rate=_SAMPLE_RATE, layout="mono")
        for number in range(_FRAME_RATE * _SECONDS):
            image = frames[number * len(frames) // (_FRAME_RATE * _SECONDS)]
            frame = av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, _FRAME_RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        _encode_tone(container, sound)


def _write_sound(photographs: list[Path], file: Path) -> None:
    """A tone with its title, and a photograph as its cover."""
    import av  # noqa: PLC0415 - an extra

    bare = file.with_name(f"{file.name}.bare")
    with av.open(str(bare), "w", format="mp3") as container:
        container.metadata.update(title="Evening", artist="The demo")
        _encode_tone(container, container.add_stream("mp3", rate=_SAMPLE_RATE, layout="mono"))
    cover = file.with_name(f"{file.name}.cover.jpg")
    _opened(photographs[1], (500, 500)).save(cover, quality=85)
    sound = bare.read_bytes()
    file.write_bytes(_with_cover(sound, cover.read_bytes()))
    bare.unlink()
    cover.unlink()


def _with_cover(sound: bytes, cover: bytes) -> bytes:
    """An MP3 with a frame APIC behind the others of its ID3v2.4 tag (id3.org, 4.14)."""
    length = _of_seven_bits(sound[6:10])
    picture = b"\0image/jpeg\0\x03\0" + cover
    frame = b"APIC" + _in_seven_bits(len(picture)) + b"\0\0" + picture
    frames = sound[10 : 10 + length].rstrip(b"\0") + b"\0" + frame
    return sound[:6] + _in_seven_bits(len(frames)) + frames + sound[10 + length :]


def _of_seven_bits(data: bytes) -> int:
    return sum(byte << 7 * place for place, byte in enumerate(reversed(data)))


def _in_seven_bits(number: int) -> bytes:
    return bytes(number >> 7 * place & 127 for place in (3, 2, 1, 0))


def _write_pdf(photographs: list[Path], file: Path) -> None:
    """A document of three pages, with a photograph on each."""
    pages = []
    for path in photographs[:3]:
        page = Image.new("RGB", _PAGE, "white")
        picture = _opened(path, (500, 700))
        page.paste(picture, ((_PAGE[0] - picture.width) // 2, 60))
        pages.append(page)
    pages[0].save(
        file,
        save_all=True,
        append_images=pages[1:],
        resolution=72,
        title="Three terraces",
        author="The demo",
    )


def _encode_tone(container, stream) -> None:  # type: ignore[no-untyped-def]  # of an extra
    """Some seconds of a fading tone."""
    import av  # noqa: PLC0415 - an extra

    size = 1024
    for start in range(0, _SAMPLE_RATE * _SECONDS, size):
        times = np.arange(start, start + size) / _SAMPLE_RATE
        wave = np.sin(2 * math.pi * 440 * times) * np.exp(-times) * 0.3
        frame = av.AudioFrame.from_ndarray(
            wave.astype(np.float32)[np.newaxis, :], format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts = _SAMPLE_RATE, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def _opened(path: Path, longest: tuple[int, int]) -> Image.Image:
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail(longest)
    return small
