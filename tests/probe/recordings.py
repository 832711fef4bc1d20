"""Small videos and sounds to probe, encoded by PyAV."""

from __future__ import annotations

import io
import math
import struct
import tempfile
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from tests.probe.samples import photograph

HZ = 44_100
_PIXELS = {"mjpeg": "yuvj420p"}


@lru_cache(maxsize=64)
def recording(
    container: str,
    film: str | None = None,
    sound: str | None = None,
    *,
    size: tuple[int, int] = (96, 64),
    seconds: float = 1.0,
    aspect: Fraction | None = None,
    options: tuple[tuple[str, str], ...] = (),
    metadata: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """A file of this container: a photograph that moves, a tone, or both.

    Args:
        container: as FFmpeg names its format: `mp4`, `matroska`, `mp3`.
        film: an encoder, such as `mpeg4` or `libx264`; None for no film.
        sound: an encoder, such as `aac`; None for no sound.
        size: of the frames, in pixels.
        seconds: how long it is.
        aspect: width of a pixel by its height.
        options: of the container's writer.
        metadata: of the container.
    """
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=dict(options)) as output:
        output.metadata.update(dict(metadata))
        streams: list[tuple[Any, Any]] = []
        if film:
            streams.append((output.add_stream(film, rate=25), _frames(size, seconds)))
            stream = streams[-1][0]
            stream.width, stream.height, stream.pix_fmt = *size, _PIXELS.get(film, "yuv420p")
            stream.codec_context.thread_count = 1
            if aspect:
                stream.sample_aspect_ratio = aspect
                stream.codec_context.sample_aspect_ratio = aspect
        if sound:
            made: Any = output.add_stream(sound, rate=HZ if sound != "libopus" else 48_000)
            made.layout = "mono"
            streams.append((made, _tone(made, seconds)))
        for made, frames in streams:
            for frame in frames:
                output.mux(made.encode(frame))
            output.mux(made.encode())
    return file.getvalue()


def _frames(size: tuple[int, int], seconds: float) -> Any:
    picture = photograph(size[0] * 2, size[1])
    for number in range(round(seconds * 25)):
        shown = picture.crop((number, 0, number + size[0], size[1]))
        frame = av.VideoFrame.from_ndarray(np.asarray(shown), format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        yield frame


def _tone(stream: Any, seconds: float) -> Any:
    rate = stream.rate
    for start in range(0, round(seconds * rate), 1024):
        times = np.arange(start, min(start + 1024, round(seconds * rate))) / rate
        wave = (np.sin(2 * math.pi * 440 * times) * 9_000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(wave[np.newaxis, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate, start
        yield frame


def turned(mp4: bytes, quarter_turns: int) -> bytes:
    """The MP4 with another matrix in its first track: to be shown turned clockwise."""
    cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarter_turns % 4]
    matrix = [cosine, sine, 0, -sine, cosine, 0, 0, 0, 0x4000]
    at = mp4.index(b"tkhd") + 4 + 40
    packed = b"".join((value * 0x10000).to_bytes(4, "big", signed=True) for value in matrix)
    return mp4[:at] + packed + mp4[at + 36 :]


def mean_colour(image: Image.Image) -> tuple[int, ...]:
    """The mean of an RGB picture."""
    return tuple(round(channel) for channel in np.asarray(image).reshape(-1, 3).mean(axis=0))


class LargeFilm:
    """An MP4 of any size: a short film, and behind its media zeros that belong to them."""

    def __init__(self, size: int, *, is_moov_first: bool) -> None:
        with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
            flags = {"movflags": "faststart"} if is_moov_first else {}
            with av.open(file.name, "w", options=flags) as output:
                stream = output.add_stream("libx264", rate=25)
                stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
                for frame in _frames((96, 64), 2.0):
                    output.mux(stream.encode(frame))
                output.mux(stream.encode())
            film = Path(file.name).read_bytes()
        # The box `free` before `mdat` makes room for a length of eight bytes.
        at = film.index(b"mdat") - 12
        assert film[at + 4 : at + 8] == b"free"
        short = int.from_bytes(film[at + 8 : at + 12], "big")
        end = at + 8 + short
        length = 8 + short + size - len(film)
        start = film[:at] + struct.pack(">I4sQ", 1, b"mdat", length) + film[at + 16 : end]
        self._parts = ((0, start), (at + length, film[end:]))
        self.size = at + length + len(film) - end

    def read(self, start: int, stop: int) -> bytes:
        """The bytes of a range."""
        data = bytearray(min(stop, self.size) - start)
        for at, part in self._parts:
            low, high = max(start, at), min(stop, at + len(part))
            if low < high:
                data[low - start : high - start] = part[low - at : high - at]
        return bytes(data)
