"""A frame of a video, by FFmpeg through PyAV (the extra `video`), and streams that it alone knows.

The file is read where FFmpeg reads it, so a large one costs a few ranges.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from PIL import Image

from media_enricher.models import ErrorCode
from media_enricher.probe.av.header import AvHeader
from media_enricher.probe.image.memory import require_room
from media_enricher.probe.source import (
    MoreBytesError,
    ProbeOptions,
    UnreadableError,
    Window,
    WindowFile,
)

if TYPE_CHECKING:
    import av

IS_INSTALLED = find_spec("av") is not None
_SIDE = 200
_AT = 0.1
"""Of the duration: behind titles and fades, and near enough to the start for files of one index."""
_MAX_SECONDS = 30.0
_MAX_PACKETS = 200
_BYTES_A_PIXEL = 27
"""Of a frame of 8 bits and 18 of its kind, which a decoder may hold for reference (H.264, A.3)."""
_OPTIONS = {"probesize": "500000", "analyzeduration": "1000000"}
_TURNS = {
    1: Image.Transpose.ROTATE_270,
    2: Image.Transpose.ROTATE_180,
    3: Image.Transpose.ROTATE_90,
}


def poster(window: Window, header: AvHeader, options: ProbeOptions) -> Image.Image | None:
    """A keyframe from the first tenth, small and upright; None where there is none to be had.

    Raises:
        MoreBytesError: of a window that is not complete.
        UnreadableError: its frames have too many pixels.
    """
    with _opened(window) as container:
        if container is None or not container.streams.video:
            return None
        stream = container.streams.video[0]
        context = stream.codec_context
        if context is None:
            return None  # FFmpeg has no decoder for it
        width, height = context.width or 0, context.height or 0
        if width * height > options.max_pixels:
            raise UnreadableError(
                ErrorCode.TOO_MANY_PIXELS,
                f"A frame of {width:,} x {height:,} pixels has more than the limit of "
                f"{options.max_pixels:,}.",
            )
        require_room(width, height, width * height * _BYTES_A_PIXEL, "a video's frames")
        context.thread_count = 1
        context.thread_type = "NONE"
        context.skip_frame = "NONKEY"
        _seek(container, header)
        return _first_picture(container, stream, header)


def preload() -> None:
    """Import FFmpeg, and decode a tiny film, for a process that then opens no file."""
    if not IS_INSTALLED:
        return
    import av  # noqa: PLC0415 - an extra

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=1)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame(16, 16, "yuv420p")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    poster(Window(file.getvalue()), AvHeader("mp4", duration=1.0), ProbeOptions())


def describe(window: Window, header: AvHeader) -> None:
    """Fill in what FFmpeg says of a container that has no reader of its own here.

    Raises:
        MoreBytesError: of a window that is not complete.
        UnreadableError: FFmpeg does not know it, or is not here.
    """
    if not IS_INSTALLED:
        raise UnreadableError(
            ErrorCode.UNSUPPORTED_TYPE, "Reading this type needs the extra video, which is missing."
        )
    with _opened(window) as container:
        if container is None:
            raise UnreadableError(ErrorCode.CORRUPT, "FFmpeg finds no streams in the file.")
        if container.duration:
            header.duration = container.duration / 1_000_000
        header.title = container.metadata.get("title")
        header.creator = container.metadata.get("artist") or container.metadata.get("author")
        for stream in container.streams.video[:1]:
            _describe_film(stream, header)
        for sound in container.streams.audio[:1]:
            header.has_audio, header.audio_codec = True, sound.codec_context.name
            header.audio_channels = sound.codec_context.channels or None
            header.sample_rate = sound.codec_context.sample_rate or None


def _describe_film(stream: Any, header: AvHeader) -> None:
    header.has_video, header.video_codec = True, stream.codec_context.name
    header.width = stream.codec_context.width or None
    header.height = stream.codec_context.height or None
    aspect = stream.sample_aspect_ratio
    header.pixel_aspect = float(aspect) if aspect else 1.0
    header.frame_rate = float(stream.average_rate) if stream.average_rate else None


@contextmanager
def _opened(window: Window) -> Iterator[av.container.InputContainer | None]:
    """The file as FFmpeg sees it; None where it sees none."""
    if not IS_INSTALLED:
        yield None
        return
    import av  # noqa: PLC0415 - an extra

    try:
        container = av.open(WindowFile(window), "r", options=_OPTIONS, metadata_errors="ignore")
    except MoreBytesError:
        raise
    except (av.error.FFmpegError, ValueError, EOFError):
        yield None
        return
    with container:
        yield container


def _seek(container: Any, header: AvHeader) -> None:
    import av  # noqa: PLC0415 - an extra

    seconds = min((header.duration or 0.0) * _AT, _MAX_SECONDS)
    if seconds:
        try:
            container.seek(round(seconds * 1_000_000))
        except MoreBytesError:
            raise
        except av.error.FFmpegError:
            return  # without an index; then the first keyframe is as good


def _first_picture(container: Any, stream: Any, header: AvHeader) -> Image.Image | None:
    """The first keyframe from here on; None where nothing can be decoded."""
    import av  # noqa: PLC0415 - an extra

    try:
        for number, packet in enumerate(container.demux(stream)):
            for frame in packet.decode():
                return _small(frame, header)
            if number >= _MAX_PACKETS:
                return None
    except MoreBytesError:
        raise
    except (av.error.FFmpegError, ValueError, EOFError):
        return None
    return None


def _small(frame: Any, header: AvHeader) -> Image.Image:
    """Scaled to the displayed shape by FFmpeg, which converts only those pixels to RGB.

    One thread, because the sandbox allows no other.
    """
    width, height = max(frame.width, 1), max(frame.height, 1)
    if header.pixel_aspect >= 1:
        shown = width * header.pixel_aspect, float(height)
    else:
        shown = float(width), height / header.pixel_aspect
    factor = min(_SIDE / max(shown), 1.0)
    size = max(round(shown[0] * factor), 1), max(round(shown[1] * factor), 1)
    small = frame.reformat(
        width=size[0], height=size[1], format="rgb24", interpolation="AREA", threads=1
    )
    image = Image.fromarray(small.to_ndarray())
    turn = _TURNS.get(header.quarter_turns % 4)
    return image.transpose(turn) if turn is not None else image
