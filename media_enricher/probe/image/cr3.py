"""Canon's CR3: boxes of ISO base media with the EXIF in three TIFFs, and JPEGs beside the raw data.

The layout is that of https://github.com/lclevy/canon_cr3 (2018 to 2023).
"""

from __future__ import annotations

import struct

from media_enricher.models import ErrorCode
from media_enricher.probe.image import heif_boxes
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.metadata.directories import Tiff
from media_enricher.probe.source import UnreadableError, Window

_CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_PREVIEW = bytes.fromhex("eaf42b5e1c984b88b9fbb7dc406e4d16")
_MAX_MOOV = 4 * 1024 * 1024
_WIDTH, _HEIGHT, _GPS = 256, 257, 0x8825
_PREVIEW_HEADER = 16
"""Bytes of the box `PRVW` before its JPEG."""


def read(window: Window, header: ImageHeader) -> None:
    """Read the metadata of `moov`, the size that EXIF states, and where a JPEG is.

    Raises:
        UnreadableError: corrupt or truncated.
        MoreBytesError: they lie outside of the window.
    """
    header.mode, header.has_alpha = "RGB", False
    header.frame_count, header.is_animated = 1, False
    for box in heif_boxes.top_level(window):
        if box.name == b"moov":
            if box.end - box.start > _MAX_MOOV:
                raise UnreadableError(
                    ErrorCode.CORRUPT, f"The box moov has {box.end - box.start:,} bytes."
                )
            _read_movie(window.read(box.start, box.end - box.start), header)
            _full_size_jpeg(window.read(box.start, box.end - box.start), window, header)
        elif box.name == b"uuid" and window.peek(box.start, 16) == _PREVIEW:
            _small_jpeg(window, box, header)
        if header.width and header.preview:
            break
    if header.width is None:
        raise UnreadableError(ErrorCode.CORRUPT, "The CR3 file names no size.")


def _read_movie(movie: bytes, header: ImageHeader) -> None:
    for name, start, end in heif_boxes.boxes(movie):
        if name != b"uuid" or movie[start : start + 16] != _CANON:
            continue
        for inner, first, last in heif_boxes.boxes(movie[:end], start + 16):
            content = movie[first:last]
            if inner == b"CMT1":
                _read_size(content, header)
            if inner in {b"CMT1", b"CMT2"}:
                header.keep(content)
            elif inner == b"CMT4":
                header.keep(_below_first(content, _GPS))


def _read_size(content: bytes, header: ImageHeader) -> None:
    try:
        tiff = Tiff(Window(content))
        first = tiff.directory(tiff.first, {_WIDTH, _HEIGHT})
    except (ValueError, UnreadableError):
        return  # `read` says that there is no size
    header.width, header.height = tiff.number(first, _WIDTH), tiff.number(first, _HEIGHT)


def _below_first(content: bytes, tag: int) -> bytes:
    """A TIFF whose first directory points to the one that was first: CR3's positions have none."""
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    if order is None or len(content) < 8:
        return b""
    offset = struct.Struct(f"{order}I")
    directory = struct.pack(f"{order}HHHIII", 1, tag, 4, 1, offset.unpack_from(content, 4)[0], 0)
    return content[:4] + offset.pack(len(content)) + content[8:] + directory


def _full_size_jpeg(movie: bytes, window: Window, header: ImageHeader) -> None:
    """The first track is the picture as JPEG: one sample, whose place and length its tables say."""
    for name, start, end in heif_boxes.boxes(movie):
        if name != b"trak":
            continue
        media = heif_boxes.inner(heif_boxes.inner(movie[start:end], b"mdia"), b"minf")
        table = heif_boxes.inner(media, b"stbl")
        sizes, places = heif_boxes.inner(table, b"stsz"), heif_boxes.inner(table, b"co64")
        if len(sizes) >= 12 and len(places) >= 16:
            fixed = int.from_bytes(sizes[4:8], "big")
            length = fixed or int.from_bytes(sizes[12:16], "big")
            at = int.from_bytes(places[8:16], "big")
            if length and at + length <= window.size:
                header.preview = at, length
        return


def _small_jpeg(window: Window, box: heif_boxes.Box, header: ImageHeader) -> None:
    """The preview of 1620 x 1080 in a box of its own."""
    at = box.start + 16 + 8
    head = window.peek(at, 8 + _PREVIEW_HEADER)
    if head is None or head[4:8] != b"PRVW":
        return
    length = int.from_bytes(head[20:24], "big")
    if at + 8 + _PREVIEW_HEADER + length <= window.size and header.preview is None:
        header.preview = at + 8 + _PREVIEW_HEADER, length
