"""AVIF and HEIC: the boxes of a HEIF file (ISO 23008-12) that describe its primary picture."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import msgspec

from media_enricher.models import ErrorCode
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.image.transforms import Placement
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

_HIDDEN = 1
"""The flag of an item that no viewer shows by itself."""
_PICTURES = frozenset(
    {b"hvc1", b"av01", b"avc1", b"vvc1", b"jpeg", b"j2k1", b"unci", b"grid", b"iovl", b"iden"}
)
"""Types of items that are pictures, coded or put together from others."""
_SEQUENCE_BRANDS = frozenset({b"avis", b"hevc", b"hevx", b"msf1"})
_MAX_DERIVED = 8
"""From a picture that is made of others to one that is coded."""


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
    sources: dict[int, int] = msgspec.field(default_factory=dict)
    """Item -> the first of the items that it is put together from, such as the tiles of a grid."""
    inner: set[int] = msgspec.field(default_factory=set)
    """Items that are shown only as part of another, or in place of it: tiles, thumbnails, alpha."""
    described: dict[int, set[int]] = msgspec.field(default_factory=dict)
    """Item of metadata -> the items that it describes."""

    def properties_of(self, item: int | None) -> dict[bytes, bytes]:
        """The properties of one item by name; of several colour profiles the ICC profile."""
        owned = self.listed(item)
        owned.sort(key=lambda named: named[1][:4] in _ICC_COLOURS)
        return dict(owned)

    def listed(self, item: int | None) -> list[tuple[bytes, bytes]]:
        """The properties of one item, in order."""
        known = range(1, len(self.properties) + 1)
        indices = self.owned.get(item, {}) if item is not None else {}
        return [self.properties[i - 1] for i in indices if i in known]

    def coded_properties(self) -> dict[bytes, bytes]:
        """The properties of the primary picture, and below them of what it is put together from.

        Phones store a grid whose tiles alone have the colour profile and the coding.
        """
        item = self.primary
        found = self.properties_of(item)
        for _ in range(_MAX_DERIVED):
            item = self.sources.get(item) if item is not None else None
            if item is None:
                break
            found = self.properties_of(item) | found
        return found

    def pictures(self) -> int:
        """How many pictures a viewer offers: bursts and spatial photos have several."""
        shown = [
            item
            for item, item_type in self.items.items()
            if item_type in _PICTURES and item not in self.inner
        ]
        return max(len(shown), 1)


def read(window: Window, header: ImageHeader) -> None:
    """Read the primary picture's properties, the number of frames, and EXIF and XMP where held."""
    is_sequence = _is_sequence(window)
    header.frame_count, header.is_animated = (None, True) if is_sequence else (1, False)
    for box in _top_level(window):
        if box.name == b"meta":
            _describe(_meta(_content(window, box)[4:]), window, header)
        elif box.name == b"uuid" and (start := window.peek(box.start, _UUID_START)):
            header.keep(start)
        elif box.name == b"moov":
            moov = window.peek(box.start, box.end - box.start)
            if moov is not None:
                _track(moov, header)
        is_next_held = box.end + _LONG_BOX <= window.held
        if header.width and not (is_sequence and header.frame_count is None and is_next_held):
            break
    if header.width is None:
        check(window)
        raise UnreadableError(ErrorCode.CORRUPT, f"The {header.format} file describes no picture.")


def _is_sequence(window: Window) -> bool:
    """By the major brand; AVIF's brand also where it is listed beside it."""
    brands = window.read(8, min(64, window.held - 8))
    return brands[:4] in _SEQUENCE_BRANDS or b"avis" in brands


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
        if data[start + 3] & _HIDDEN:
            meta.inner.add(item)


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
        if name not in {b"auxl", b"cdsc", b"dimg", b"thmb"}:
            continue
        cursor = _Cursor(data[start:end], 0)
        source = cursor.take(size)
        for _ in range(cursor.take(2)):
            target = cursor.take(size)
            if name == b"auxl":
                meta.auxiliaries.setdefault(target, set()).add(source)
                meta.inner.add(source)
            elif name == b"cdsc":
                meta.described.setdefault(source, set()).add(target)
            elif name == b"dimg":
                meta.sources.setdefault(source, target)
                meta.inner.add(target)
            else:
                meta.inner.add(source)


_TABLES = {
    b"pitm": _primary,
    b"iinf": _items,
    b"iloc": _locations,
    b"iprp": _properties,
    b"iref": _references,
}


def _describe(meta: _Meta, window: Window, header: ImageHeader) -> None:
    extent = meta.properties_of(meta.primary).get(b"ispe", b"")
    width, height = struct.unpack_from(">II", extent, 4) if len(extent) >= 12 else (0, 0)
    if not width or not height:
        return
    placed = _placement(meta.listed(meta.primary), width, height)
    header.width, header.height = placed.box.size
    header.orientation = placed.orientation
    if placed.box.size != (width, height):
        header.coded_size, header.crop = (width, height), placed.box
    if not header.is_animated:
        header.frame_count = meta.pictures()
    properties = meta.coded_properties()
    depths = properties.get(b"pixi", b"")
    header.bit_depth = depths[5] if len(depths) > 5 else _coded_depth(properties)
    is_grey = depths[4] == 1 if len(depths) > 4 else _is_coded_grey(properties)
    header.has_alpha = _has_alpha(meta)
    header.mode = ("LA" if header.has_alpha else "L") if is_grey else "RGB"
    if header.has_alpha and not is_grey:
        header.mode = "RGBA"
    colour = properties.get(b"colr", b"")
    if colour[:4] in _ICC_COLOURS:
        header.icc = colour[4:]
    elif colour[:4] == b"nclx" and len(colour) >= 8:
        header.coded_colours = struct.unpack_from(">HH", colour, 4)
    header.is_turned_by_decoder = header.format in _TURNED_BY_DECODER
    _linked_metadata(meta, window, header)


_TURNED_BY_DECODER = frozenset({"heic", "heif"})
"""libheif applies turns, mirrors and cut-outs; Pillow's decoder of AVIF does not."""


def _placement(properties: list[tuple[bytes, bytes]], width: int, height: int) -> Placement:
    """HEIF's own transformations, in their order. They are what viewers follow, and not EXIF."""
    placed = Placement(width, height)
    for name, content in properties:
        if name == b"irot" and content:
            placed.turn(content[0])
        elif name == b"imir" and content:
            placed.mirror(content[0])
        elif name == b"clap" and len(content) >= _CLEAN_APERTURE.size:
            _cut(placed, content)
    return placed


_CLEAN_APERTURE = struct.Struct(">IIIIiIiI")
"""Width, height, and the offsets of the centre to the right and down, each as a fraction."""


def _cut(placed: Placement, content: bytes) -> None:
    numbers = _CLEAN_APERTURE.unpack_from(content)
    if 0 in numbers[1::2]:
        return  # no fraction; viewers show the whole picture
    width, height, right, down = (
        Fraction(numbers[at], numbers[at + 1]) for at in range(0, len(numbers), 2)
    )
    placed.cut(width, height, right, down)


def _coded_depth(properties: dict[bytes, bytes]) -> int:
    """Bits per channel by the configuration record of AV1 or HEVC; 8 where there is none."""
    config = properties.get(b"av1C", b"")
    if len(config) > 2 and config[2] & 0x40:
        return 12 if config[2] & 0x20 else 10
    config = properties.get(b"hvcC", b"")
    return 8 + (config[17] & 7) if len(config) > 17 else 8


def _is_coded_grey(properties: dict[bytes, bytes]) -> bool:
    """Whether HEVC's configuration record names no chroma (`chroma_format_idc`)."""
    config = properties.get(b"hvcC", b"")
    return len(config) > 16 and config[16] & 3 == 0


def _has_alpha(meta: _Meta) -> bool:
    return any(
        meta.properties_of(item).get(b"auxC", b"")[4:].startswith(_ALPHA_ROLES)
        for item in meta.auxiliaries.get(meta.primary or 0, ())
    )


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
        header.keep(content)


def _track(moov: bytes, header: ImageHeader) -> None:
    """The first track of pictures: how many there are, and their size where no `meta` says it."""
    for name, start, end in _boxes(moov):
        if name != b"trak":
            continue
        track = moov[start:end]
        media = _inner(track, b"mdia")
        if _inner(media, b"hdlr")[8:12] != b"pict":
            continue
        sizes = _inner(_inner(_inner(media, b"minf"), b"stbl"), b"stsz")
        header.frame_count = int.from_bytes(sizes[8:12], "big") if len(sizes) >= 12 else None
        shown = _inner(track, b"tkhd")[-8:]  # width and height, in 16.16
        if header.width is None and len(shown) == 8 and any(shown[:2]) and any(shown[4:6]):
            header.width = int.from_bytes(shown[:2], "big")
            header.height = int.from_bytes(shown[4:6], "big")
            header.mode, header.bit_depth = "RGB", 8
            header.is_turned_by_decoder = header.format in _TURNED_BY_DECODER
        return


def _inner(data: bytes, wanted: bytes) -> bytes:
    return next((data[start:end] for name, start, end in _boxes(data) if name == wanted), b"")
