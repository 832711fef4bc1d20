"""The tables of HEIF's `meta` box (ISO 23008-12): the items, and what belongs to each."""

from __future__ import annotations

import struct

import msgspec

from media_enricher.models import ErrorCode
from media_enricher.probe.image.heif_boxes import boxes
from media_enricher.probe.source import UnreadableError

ICC_COLOURS = (b"prof", b"rICC")
"""Types of the property `colr` that are ICC profiles."""
_HIDDEN = 1
"""The flag of an item that no viewer shows by itself."""
_PICTURES = frozenset(
    {b"hvc1", b"av01", b"avc1", b"vvc1", b"jpeg", b"j2k1", b"unci", b"grid", b"iovl", b"iden"}
)
"""Types of items that are pictures, coded or put together from others."""
_ALPHA_ROLES = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
_MAX_DERIVED = 8
"""From a picture that is made of others to one that is coded."""


class Meta(msgspec.Struct):
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
        owned.sort(key=lambda named: named[1][:4] in ICC_COLOURS)
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

    def has_alpha(self) -> bool:
        """Whether the primary picture has an auxiliary one with its alpha."""
        return any(
            self.properties_of(item).get(b"auxC", b"")[4:].startswith(_ALPHA_ROLES)
            for item in self.auxiliaries.get(self.primary or 0, ())
        )


def read_meta(data: bytes) -> Meta:
    """The tables within a `meta` box.

    Raises:
        UnreadableError: a table is cut.
    """
    meta = Meta()
    for name, start, end in boxes(data):
        if name in _TABLES:
            try:
                _TABLES[name](data[start:end], meta)
            except (struct.error, IndexError) as cut:
                raise UnreadableError(
                    ErrorCode.CORRUPT, f"The table {name.decode('ascii', 'replace')!r} is cut."
                ) from cut
    return meta


def _primary(data: bytes, meta: Meta) -> None:
    meta.primary = int.from_bytes(data[4:8] if data[0] else data[4:6], "big")


def _items(data: bytes, meta: Meta) -> None:
    for name, start, _ in boxes(data, 6 if data[0] == 0 else 8):
        version = data[start]
        if name != b"infe" or version not in {2, 3}:
            continue
        layout = ">H2x4s" if version == 2 else ">I2x4s"
        item, item_type = struct.unpack_from(layout, data, start + 4)
        meta.items[item] = item_type
        if data[start + 3] & _HIDDEN:
            meta.inner.add(item)


def _locations(data: bytes, meta: Meta) -> None:
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


def _properties(data: bytes, meta: Meta) -> None:
    for name, start, end in boxes(data):
        if name == b"ipco":
            container = data[start:end]
            meta.properties += [
                (kind, container[first:last]) for kind, first, last in boxes(container)
            ]
        elif name == b"ipma":
            _associations(data[start:end], meta)


def _associations(data: bytes, meta: Meta) -> None:
    wide_items, wide_indices = data[0] >= 1, data[3] & 1
    cursor = _Cursor(data, 4)
    for _ in range(cursor.take(4)):
        item = cursor.take(4 if wide_items else 2)
        indices = meta.owned.setdefault(item, {})
        for _ in range(cursor.take(1)):
            index = cursor.take(2) & 0x7FFF if wide_indices else cursor.take(1) & 0x7F
            indices[index] = None


def _references(data: bytes, meta: Meta) -> None:
    size = 4 if data[0] else 2
    for name, start, end in boxes(data, 4):
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
