"""AVIF and HEIC: the boxes of a HEIF file (ISO 23008-12) that describe its primary picture."""

from __future__ import annotations

import struct

from media_enricher.models import ErrorCode
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.image.heif_boxes import LONG_START, Box, boxes, check, inner, top_level
from media_enricher.probe.image.heif_items import ICC_COLOURS, Meta, read_meta
from media_enricher.probe.image.heif_properties import coded_depth, is_coded_grey, placement
from media_enricher.probe.metadata.blocks import MAX_BLOCK
from media_enricher.probe.source import UnreadableError, Window

_MAX_META = 4 * 1024 * 1024
_UUID_START = 256
"""Bytes of a `uuid` box that tell what is in it."""
_MAX_LINKED = 8
"""Items of metadata that are copied; they may overlap."""
_SEQUENCE_BRANDS = frozenset({b"avis", b"hevc", b"hevx", b"msf1"})


def read(window: Window, header: ImageHeader) -> None:
    """Read the primary picture's properties, the number of frames, and EXIF and XMP where held."""
    is_sequence = _is_sequence(window)
    header.frame_count, header.is_animated = (None, True) if is_sequence else (1, False)
    for box in top_level(window):
        if box.name == b"meta":
            _describe(read_meta(_content(window, box)[4:]), window, header)
        elif box.name == b"uuid" and (start := window.peek(box.start, _UUID_START)):
            header.keep(start)
        elif box.name == b"moov":
            moov = window.peek(box.start, box.end - box.start)
            if moov is not None:
                _track(moov, header)
        is_next_held = box.end + LONG_START <= window.held
        if header.width and not (is_sequence and header.frame_count is None and is_next_held):
            break
    if header.width is None:
        check(window)
        raise UnreadableError(ErrorCode.CORRUPT, f"The {header.format} file describes no picture.")


def _is_sequence(window: Window) -> bool:
    """By the major brand; AVIF's brand also where it is listed beside it."""
    brands = window.read(8, min(64, window.held - 8))
    return brands[:4] in _SEQUENCE_BRANDS or b"avis" in brands


def _content(window: Window, box: Box) -> bytes:
    if box.end - box.start > _MAX_META:
        raise UnreadableError(
            ErrorCode.CORRUPT, f"The file describes itself in {box.end - box.start:,} bytes."
        )
    return window.read(box.start, box.end - box.start)


def _describe(meta: Meta, window: Window, header: ImageHeader) -> None:
    extent = meta.properties_of(meta.primary).get(b"ispe", b"")
    width, height = struct.unpack_from(">II", extent, 4) if len(extent) >= 12 else (0, 0)
    if not width or not height:
        return
    placed = placement(meta.listed(meta.primary), width, height)
    header.width, header.height = placed.box.size
    header.orientation = placed.orientation
    if placed.box.size != (width, height):
        header.coded_size, header.crop = (width, height), placed.box
    if not header.is_animated:
        header.frame_count = meta.pictures()
    properties = meta.coded_properties()
    depths = properties.get(b"pixi", b"")
    header.bit_depth = depths[5] if len(depths) > 5 else coded_depth(properties)
    is_grey = depths[4] == 1 if len(depths) > 4 else is_coded_grey(properties)
    header.has_alpha = meta.has_alpha()
    header.mode = ("LA" if header.has_alpha else "L") if is_grey else "RGB"
    if header.has_alpha and not is_grey:
        header.mode = "RGBA"
    colour = properties.get(b"colr", b"")
    if colour[:4] in ICC_COLOURS:
        header.icc = colour[4:]
    elif colour[:4] == b"nclx" and len(colour) >= 8:
        header.coded_colours = struct.unpack_from(">HH", colour, 4)
    header.is_turned_by_decoder = header.format in _TURNED_BY_DECODER
    _note_plain_stream(meta, header)
    _linked_metadata(meta, window, header)


_LAYERS = frozenset({b"a1op", b"a1lx", b"lsel"})
"""Properties of a picture in several layers (AVIF, 2.3)."""


def _note_plain_stream(meta: Meta, header: ImageHeader) -> None:
    """Note where the coded picture is, if it is one stream and all that is shown."""
    owned = meta.listed(meta.primary)
    for name, content in owned:
        if name == b"colr" and content[:4] == b"nclx" and len(content) >= _NCLX_BYTES:
            header.yuv = int.from_bytes(content[8:10], "big"), bool(content[10] & 0x80)
            break
    is_coded = meta.primary is not None and meta.items.get(meta.primary) == b"av01"
    is_plain = header.mode == "RGB" and not (header.is_animated or header.crop)
    if is_coded and is_plain and _LAYERS.isdisjoint(name for name, _ in owned):
        header.av1_stream = meta.extents.get(meta.primary or 0)


_NCLX_BYTES = 11
_TURNED_BY_DECODER = frozenset({"heic", "heif"})
"""libheif applies turns, mirrors and cut-outs; Pillow's decoder of AVIF does not."""


def _linked_metadata(meta: Meta, window: Window, header: ImageHeader) -> None:
    """EXIF and XMP that describe the primary picture, by their references (`cdsc`).

    Where a writer left the references out, those that describe no other picture.
    """
    for item, item_type in meta.items.items():
        offset, length = meta.extents.get(item, (0, 0))
        described = meta.described.get(item)
        if (
            item_type not in {b"Exif", b"mime"}
            or not 4 < length <= MAX_BLOCK
            or offset + length > window.size
            or (described is not None and meta.primary not in described)
            or len(header.blocks) >= _MAX_LINKED
        ):
            continue
        content = window.read(offset, length)
        if item_type == b"Exif":  # the offset of the TIFF header comes first
            content = content[4 + int.from_bytes(content[:4], "big") :]
        header.keep(content)


def _track(moov: bytes, header: ImageHeader) -> None:
    """The first track of pictures: how many there are, and their size where no `meta` says it."""
    for name, start, end in boxes(moov):
        if name != b"trak":
            continue
        track = moov[start:end]
        media = inner(track, b"mdia")
        if inner(media, b"hdlr")[8:12] != b"pict":
            continue
        sizes = inner(inner(inner(media, b"minf"), b"stbl"), b"stsz")
        header.frame_count = int.from_bytes(sizes[8:12], "big") if len(sizes) >= 12 else None
        shown = inner(track, b"tkhd")[-8:]  # width and height, in 16.16
        if header.width is None and len(shown) == 8 and any(shown[:2]) and any(shown[4:6]):
            header.width = int.from_bytes(shown[:2], "big")
            header.height = int.from_bytes(shown[4:6], "big")
            header.mode, header.bit_depth = "RGB", 8
            header.is_turned_by_decoder = header.format in _TURNED_BY_DECODER
        return
