"""What the header of a video or sound file says, whatever its container. Each reader fills one."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import msgspec


class Cover(NamedTuple):
    """Where a picture of the whole lies in the file, such as the cover of an album."""

    start: int
    length: int


MAX_KEYWORDS = 200


class AvHeader(msgspec.Struct):
    """Filled as it is read, so that what is known survives where reading breaks off."""

    format: str
    duration: float | None = None
    """Seconds."""
    bit_rate: int | None = None
    """Of the sound of a WAV, which tells its duration where nothing else does."""
    has_video: bool = False
    has_audio: bool = False
    width: int | None = None
    """Pixels, as stored."""
    height: int | None = None
    """Pixels, as stored."""
    pixel_aspect: float = 1.0
    """Width of a pixel by its height."""
    quarter_turns: int = 0
    """Clockwise, to show it upright."""
    frame_rate: float | None = None
    video_codec: str | None = None
    audio_codec: str | None = None
    audio_channels: int | None = None
    sample_rate: int | None = None
    title: str | None = None
    creator: str | None = None
    description: str | None = None
    copyright: str | None = None
    keywords: list[str] = msgspec.field(default_factory=list)
    taken: str | None = None
    """ISO 8601, with an offset or without."""
    created: datetime | None = None
    """When the container was made, aware; the capture time where there is no `taken`."""
    make: str | None = None
    model: str | None = None
    position: str | None = None
    """ISO 6709: `+48.8577+002.2950+035.000/`."""
    has_credentials: bool = False
    """A C2PA manifest is there."""
    is_cut: bool = False
    """The file ends before its media do."""
    labels: list[str] = msgspec.field(default_factory=list)
    cover: Cover | None = None

    def add_keywords(self, text: str, separator: str) -> None:
        """Keep what a separated list names, up to `MAX_KEYWORDS` in the whole file."""
        words = text.split(separator, MAX_KEYWORDS)[:MAX_KEYWORDS]
        room = MAX_KEYWORDS - len(self.keywords)
        self.keywords += [word.strip() for word in words[:room]]

    def displayed_size(self) -> tuple[int | None, int | None]:
        """Width and height with square pixels, upright."""
        if not self.width or not self.height:
            return None, None
        width, height = self.width, self.height
        if self.pixel_aspect >= 1:
            width = max(round(width * self.pixel_aspect), 1)
        else:
            height = max(round(height / self.pixel_aspect), 1)
        return (height, width) if self.quarter_turns % 2 else (width, height)
