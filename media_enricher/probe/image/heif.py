"""AVIF and HEIC: the boxes of a HEIF file (ISO 23008-12) that describe its primary picture."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from media_enricher.models import ErrorCode
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.metadata.blocks import MAX_BLOCK
from media_enricher.probe.source import UnreadableError, Window

_BOX = struct.Struct(">I4s")
_LONG_BOX = 16
"""Bytes of the longer form of a box's start."""
_MAX_META = 4 * 1024 * 1024
_UUID_START = 256
"""Bytes of a `uuid` box that tell what is in it."""
_MAX_LINKED = 8
"""Items of metadata that are copied; they may overlap."""
_MAX_BOXES = 20_000
_ICC_COLOURS = (b"prof", b"rICC")
_ALPHA_ROLES = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")

# (quarter turns anticlockwise, mirror axis or None) -> EXIF orientation. The turn comes first.
_ORIENTATIONS = {
    (0, None): 1,
    (1, None): 8,
    (2, None): 3,
    (3, None): 6,
    (0, 0): 4,
    (0, 1): 2,
    (1, 0): 5,
    (1, 1): 7,
    (2, 0): 2,
    (2, 1): 4,
    (3, 0): 7,
    (3, 1): 5,
}


class Box(NamedTuple):
    """A box's name and where its content lies."""

    name: bytes
    start: int
    end: int


class _Meta(msgspec.Struct):
    """The tables of a `meta` box."""

    primary: int | None = None
    items: dict[int, bytes] = msgspec.field(default_factory=dict)
    """Item -> its type: `av01`, `Exif`, `mime`."""
    extents: dict[int, tuple[int, int]] = msgspec.field(default_factory=dict)
    """Item -> offset and length in the file, of those in one piece."""
    properties: list[tuple[bytes, bytes]] = msgspec.field(default_factory=list)
    owned: dict[int, dict[int, None]] = msgspec.field(default_factory=dict)
    """Item -> one-based indices into `properties`, in order and each once."""
    auxiliaries: dict[int, set[int]] = msgspec.field(default_factory=dict)
    """Item -> the auxiliary items (alpha, depth) that refer to it."""
    described: dict[int, set[int]] = msgspec.field(default_factory=dict)
    """Item of metadata -> the items that it describes."""

    def properties_of(self, item: int | None) -> dict[bytes, bytes]:
        """The properties of one item by name; of several colour profiles the ICC profile."""
        known = range(1, len(self.properties) + 1)
        indices = self.owned.get(item, {}) if item is not None else {}
        owned = [self.properties[i - 1] for i in indices if i in known]
        owned.sort(key=lambda named: named[1][:4] in _ICC_COLOURS)
        return dict(owned)


def read(window: Window, header: ImageHeader) -> None:
    """Read the primary picture's properties, the number of frames, and EXIF and XMP where held."""
    is_sequence = b"avis" in window.read(8, min(64, window.held - 8))
    header.frame_count, header.is_animated = (None, True) if is_sequence else (1, False)
    for box in _top_level(window):
        if box.name == b"meta":
            _describe(_meta(_content(window, box)[4:]), window, header)
        elif box.name == b"uuid" and (start := window.peek(box.start, _UUID_START)):
            header.blocks.append(start)
        elif box.name == b"moov":
            moov = window.peek(box.start, box.end - box.start)
            if moov is not None:
                header.frame_count = _samples(moov)
        is_next_held = box.end + _LONG_BOX <= window.held
        if header.width and not (is_sequence and header.frame_count is None and is_next_held):
            break
    if header.width is None:
        check(window)
        raise UnreadableError(ErrorCode.CORRUPT, f"The {header.format} file describes no picture.")


def _top_level(window: Window) -> Iterator[Box]:
    """Boxes of the file; past the end of a partial window only as long as nothing is known."""
    at = 0
    for _ in range(_MAX_BOXES):
        if at + 8 > window.held:
            if window.is_complete:
                return
            window.miss(at + _LONG_BOX)
        length, name = _BOX.unpack_from(window.data, at)
        start = at + 8
        if length == 1:
            length, start = int.from_bytes(window.read(at + 8, 8), "big"), at + 16
        end = window.size if length == 0 else at + length
        if end < start:
            raise UnreadableError(
                ErrorCode.CORRUPT, f"The box at byte {at:,} is {length} bytes long."
            )
        yield Box(name, start, end)
        at = end


def check(window: Window) -> None:
    """Compare the lengths of the file's boxes with what is there.

    Raises:
        UnreadableError: truncated.
    """
    for box in _top_level(window):
        if box.end > window.size:
            raise UnreadableError(
                ErrorCode.TRUNCATED,
                f"The file ends at byte {window.size:,}, and its content at {box.end:,}.",
            )


def _content(window: Window, box: Box) -> bytes:
    if box.end - box.start > _MAX_META:
        raise UnreadableError(
            ErrorCode.CORRUPT, f"The file describes itself in {box.end - box.start:,} bytes."
        )
    return window.read(box.start, box.end - box.start)


def _boxes(data: bytes, at: int = 0) -> Iterator[Box]:
    """Boxes within a box; stops where they stop making sense."""
    while at + 8 <= len(data):
        length, name = _BOX.unpack_from(data, at)
        end = len(data) if length == 0 else at + length
        if end < at + 8 or end > len(data):
            return
        yield Box(name, at + 8, end)
        at = end


def _meta(data: bytes) -> _Meta:
    meta = _Meta()
    for name, start, end in _boxes(data):
        if name in _TABLES:
            try:
                _TABLES[name](data[start:end], meta)
            except (struct.error, IndexError) as cut:
                raise UnreadableError(
                    ErrorCode.CORRUPT, f"The table {name.decode('ascii', 'replace')!r} is cut."
                ) from cut
    return meta


def _primary(data: bytes, meta: _Meta) -> None:
    meta.primary = int.from_bytes(data[4:8] if data[0] else data[4:6], "big")


def _items(data: bytes, meta: _Meta) -> None:
    for name, start, _ in _boxes(data, 6 if data[0] == 0 else 8):
        version = data[start]
        if name != b"infe" or version not in {2, 3}:
            continue
        layout = ">H2x4s" if version == 2 else ">I2x4s"
        item, item_type = struct.unpack_from(layout, data, start + 4)
        meta.items[item] = item_type


def _locations(data: bytes, meta: _Meta) -> None:
    version = data[0]
    offset_size, length_size = data[4] >> 4, data[4] & 15
    base_size, index_size = data[5] >> 4, (data[5] & 15 if version in {1, 2} else 0)
    cursor = _Cursor(data, 6)
    for _ in range(cursor.take(4 if version == 2 else 2)):
        item = cursor.take(4 if version == 2 else 2)
        method = cursor.take(2) & 15 if version in {1, 2} else 0
        cursor.take(2)
        base = cursor.take(base_size)
        count = cursor.take(2)
        for _ in range(count):
            cursor.take(index_size)
            extent = base + cursor.take(offset_size), cursor.take(length_size)
            if method == 0 and count == 1:
                meta.extents[item] = extent


class _Cursor:
    """Integers of given sizes, one after the other."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def take(self, size: int) -> int:
        if self.at + size > len(self.data):
            raise IndexError(self.at)
        self.at += size
        return int.from_bytes(self.data[self.at - size : self.at], "big")


def _properties(data: bytes, meta: _Meta) -> None:
    for name, start, end in _boxes(data):
        if name == b"ipco":
            container = data[start:end]
            meta.properties += [
                (kind, container[first:last]) for kind, first, last in _boxes(container)
            ]
        elif name == b"ipma":
            _associations(data[start:end], meta)


def _associations(data: bytes, meta: _Meta) -> None:
    wide_items, wide_indices = data[0] >= 1, data[3] & 1
    cursor = _Cursor(data, 4)
    for _ in range(cursor.take(4)):
        item = cursor.take(4 if wide_items else 2)
        indices = meta.owned.setdefault(item, {})
        for _ in range(cursor.take(1)):
            index = cursor.take(2) & 0x7FFF if wide_indices else cursor.take(1) & 0x7F
            indices[index] = None


def _references(data: bytes, meta: _Meta) -> None:
    size = 4 if data[0] else 2
    for name, start, end in _boxes(data, 4):
        if name not in {b"auxl", b"cdsc"}:
            continue
        cursor = _Cursor(data[start:end], 0)
        source = cursor.take(size)
        for _ in range(cursor.take(2)):
            target = cursor.take(size)
            if name == b"auxl":
                meta.auxiliaries.setdefault(target, set()).add(source)
            else:
                meta.described.setdefault(source, set()).add(target)


_TABLES = {
    b"pitm": _primary,
    b"iinf": _items,
    b"iloc": _locations,
    b"iprp": _properties,
    b"iref": _references,
}


def _describe(meta: _Meta, window: Window, header: ImageHeader) -> None:
    properties = meta.properties_of(meta.primary)
    extent = properties.get(b"ispe", b"")
    if len(extent) >= 12:
        header.width, header.height = struct.unpack_from(">II", extent, 4)
    if not header.width or not header.height:
        header.width = header.height = None
        return
    depths = properties.get(b"pixi", b"")
    header.bit_depth = depths[5] if len(depths) > 5 else _coded_depth(properties)
    is_grey = len(depths) > 4 and depths[4] == 1
    header.has_alpha = _has_alpha(meta)
    header.mode = ("LA" if header.has_alpha else "L") if is_grey else "RGB"
    if header.has_alpha and not is_grey:
        header.mode = "RGBA"
    header.orientation = _orientation(properties)
    colour = properties.get(b"colr", b"")
    if colour[:4] in _ICC_COLOURS:
        header.icc = colour[4:]
    elif colour[:4] == b"nclx" and len(colour) >= 8:
        header.coded_colours = struct.unpack_from(">HH", colour, 4)
    _linked_metadata(meta, window, header)


def _coded_depth(properties: dict[bytes, bytes]) -> int:
    """Bits per channel by AV1's configuration record; 8 where there is none."""
    config = properties.get(b"av1C", b"")
    if len(config) > 2 and config[2] & 0x40:
        return 12 if config[2] & 0x20 else 10
    return 8


def _has_alpha(meta: _Meta) -> bool:
    return any(
        meta.properties_of(item).get(b"auxC", b"")[4:].startswith(_ALPHA_ROLES)
        for item in meta.auxiliaries.get(meta.primary or 0, ())
    )


def _orientation(properties: dict[bytes, bytes]) -> int:
    """In EXIF's terms; HEIF's own turn (irot) and mirror (imir) are what viewers follow."""
    turn, mirror = properties.get(b"irot"), properties.get(b"imir")
    turns = turn[0] & 3 if turn else 0
    return _ORIENTATIONS[turns, mirror[0] & 1 if mirror else None]


def _linked_metadata(meta: _Meta, window: Window, header: ImageHeader) -> None:
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
        header.blocks.append(content)


def _samples(moov: bytes) -> int | None:
    """The pictures in the first track of pictures."""
    for name, start, end in _boxes(moov):
        if name != b"trak":
            continue
        media = _inner(moov[start:end], b"mdia")
        if _inner(media, b"hdlr")[8:12] != b"pict":
            continue
        sizes = _inner(_inner(_inner(media, b"minf"), b"stbl"), b"stsz")
        return int.from_bytes(sizes[8:12], "big") if len(sizes) >= 12 else None
    return None


def _inner(data: bytes, wanted: bytes) -> bytes:
    return next((data[start:end] for name, start, end in _boxes(data) if name == wanted), b"")
