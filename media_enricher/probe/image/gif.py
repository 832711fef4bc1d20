"""GIF89a read block by block: Pillow counts frames by seeking through all of them."""

from __future__ import annotations

from media_enricher.models import ErrorCode
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.metadata.blocks import MAX_BLOCK
from media_enricher.probe.source import Buffer, UnreadableError, Window

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_GRAPHIC_CONTROL, _APPLICATION = 0xF9, 0xFF
_XMP = b"\x0bXMP DataXMP"
_XMP_TRAILER = b"\x01\xff\xfe\xfd"
"""How the 258 bytes begin that lead a reader of sub-blocks out of a packet."""
_C2PA = b"\x0bC2PA_GIF\x01\x00\x00"


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
    frames, complete, is_whole = _frames(window, 13 + _colour_table_bytes(screen[4]), header)
    if window.is_complete and not is_whole:
        if not complete:
            raise UnreadableError(
                ErrorCode.TRUNCATED, f"The GIF ends at byte {window.size:,}, within a frame."
            )
        header.is_truncated = True
    header.is_cut = header.is_cut or not is_whole
    if is_whole:
        header.frame_count = frames
    if is_whole or frames > 1:
        header.is_animated = frames > 1
    if is_whole and not frames:
        raise UnreadableError(ErrorCode.CORRUPT, "The GIF holds no picture.")


_MAX_SUB_BLOCKS = 3_000_000
"""In all. Encoders fill theirs with 255 bytes, of which this many are 730 MB."""


def first_frame(data: Buffer) -> bytes | None:
    """The GIF with its first picture only, without comments, which Pillow joins piece by piece.

    None where there is no whole picture.
    """
    window = Window(data, len(data))
    at = 13 + _colour_table_bytes(window.read(10, 1)[0])
    kept = [window.read(0, at)]
    while at + 10 <= window.held:
        if data[at] == _EXTENSION:
            end = _after_sub_blocks(window, at + 2, _MAX_SUB_BLOCKS)[0]
            if data[at + 1] == _GRAPHIC_CONTROL:
                kept.append(window.read(at, min(end, window.held) - at))
            at = end
        elif data[at] == _IMAGE:
            end, _ = _after_sub_blocks(
                window, at + 11 + _colour_table_bytes(data[at + 9]), _MAX_SUB_BLOCKS
            )
            kept.append(bytes(data[at : min(end, window.held)]))
            return b"".join(kept) + b";"
        else:
            at += 1
    return None


def _frames(window: Window, at: int, header: ImageHeader) -> tuple[int, int, bool]:
    """Frames begun and ended before the window ends, and whether that was the GIF's end, too."""
    data, held, frames, complete = window.data, window.held, 0, 0
    is_transparent = False
    room = _MAX_SUB_BLOCKS
    while at < held:
        block = data[at]
        if block == _EXTENSION:
            if at + 4 < held and data[at + 1] == _GRAPHIC_CONTROL and not frames:
                is_transparent = bool(data[at + 3] & 1)
            start = at
            at, room = _after_sub_blocks(window, at + 2, room)
            if start + 1 < held and data[start + 1] == _APPLICATION:
                _application(window, header, start + 2, at)
        elif block == _IMAGE and at + 10 <= held:
            if not frames:
                header.has_alpha = is_transparent
            frames += 1
            at, room = _after_sub_blocks(window, at + 11 + _colour_table_bytes(data[at + 9]), room)
            complete += at <= held
        elif block == _TRAILER:
            return frames, complete, True
        elif frames:  # junk after the last frame ends it for every viewer
            header.is_damaged = _is_junk(data, at)
            return frames, complete, True
        else:
            at += 1  # padding before the first block
    return frames, complete, window.is_complete and at == held


def _is_junk(data: Buffer, at: int) -> bool:
    """Whether what stands in the place of a block is more than padding."""
    return bytes(data[at:]).lstrip(b"\0")[:1] not in {b"", bytes((_TRAILER,))}


def _application(window: Window, header: ImageHeader, at: int, end: int) -> None:
    """An application extension: XMP stands in it unpacked (XMP part 3, 1.1.2)."""
    name = window.peek(at, 12)
    if end > window.held:
        header.is_cut = True
    elif name == _XMP and end - at <= MAX_BLOCK:
        packet, trailer, _ = window.read(at + 12, end - at - 12).partition(_XMP_TRAILER)
        if trailer:
            header.keep(packet)
    elif name == _C2PA and end - at <= MAX_BLOCK:
        length = window.read(at + 12, 1)[0]  # the first sub-block says what it is
        header.keep(window.read(at + 13, length))


def _after_sub_blocks(window: Window, at: int, room: int) -> tuple[int, int]:
    """Where the sub-blocks at `at` end, and how many more the file may have."""
    data, held = window.data, window.held
    while at < held:
        length = data[at]
        at += length + 1
        room -= 1
        if not length:
            return at, room
        if room < 0:
            raise UnreadableError(
                ErrorCode.CORRUPT, f"The GIF has more than {_MAX_SUB_BLOCKS:,} sub-blocks."
            )
    return held + 1, room


def _colour_table_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0
