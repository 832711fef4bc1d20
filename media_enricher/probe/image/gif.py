"""GIF89a read block by block: Pillow counts frames by seeking through all of them."""

from __future__ import annotations

from media_enricher.models import ErrorCode
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.source import UnreadableError, Window

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_GRAPHIC_CONTROL = 0xF9


def read(window: Window, header: ImageHeader) -> None:
    """Read the screen and count the frames; in a partial window the count stays open."""
    screen = window.read(6, 7)
    header.width = int.from_bytes(screen[0:2], "little")
    header.height = int.from_bytes(screen[2:4], "little")
    header.mode, header.bit_depth = "P", 8
    if not header.width or not header.height:
        raise UnreadableError(
            ErrorCode.CORRUPT, f"The GIF says {header.width}x{header.height} pixels."
        )
    frames, is_whole = _frames(window, 13 + _colour_table_bytes(screen[4]), header)
    if window.is_complete and not is_whole:
        raise UnreadableError(
            ErrorCode.TRUNCATED, f"The GIF ends at byte {window.size:,}, within a frame."
        )
    if is_whole:
        header.frame_count = frames
    if is_whole or frames > 1:
        header.is_animated = frames > 1
    if is_whole and not frames:
        raise UnreadableError(ErrorCode.CORRUPT, "The GIF holds no picture.")


def _frames(window: Window, at: int, header: ImageHeader) -> tuple[int, bool]:
    """Frames begun before the window ends, and whether that was the end of the GIF too."""
    data, held, frames = window.data, window.held, 0
    is_transparent = False
    while at < held:
        block = data[at]
        if block == _EXTENSION:
            if at + 4 < held and data[at + 1] == _GRAPHIC_CONTROL and not frames:
                is_transparent = bool(data[at + 3] & 1)
            at = _after_sub_blocks(window, at + 2)
        elif block == _IMAGE and at + 10 <= held:
            if not frames:
                header.has_alpha = is_transparent
            frames += 1
            at = _after_sub_blocks(window, at + 11 + _colour_table_bytes(data[at + 9]))
        elif block == _TRAILER or frames:  # junk after the last frame ends it for every viewer
            return frames, True
        else:
            at += 1  # padding before the first block
    return frames, window.is_complete and at == held


def _after_sub_blocks(window: Window, at: int) -> int:
    data, held = window.data, window.held
    while at < held:
        length = data[at]
        at += length + 1
        if not length:
            return at
    return held + 1


def _colour_table_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0
