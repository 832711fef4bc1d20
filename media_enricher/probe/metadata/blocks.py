"""Blocks of metadata as containers hold them, each recognised by its own bytes.

A reader of a format hands over what it finds, in the order of the file, and need not know what it
is: whether a chunk named `EXIF` begins with JPEG's prefix, or IPTC comes with the header of
Photoshop. A new carrier is a line in its reader; a new sort of block is a line here.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from media_enricher.probe.metadata.directories import Tiff, is_tiff
from media_enricher.probe.source import MoreBytesError, Window

Block: TypeAlias = bytes | memoryview | Window
"""The content of one block; a `Window` where a whole file is one, as a TIFF is."""

MAX_BLOCK = 4 * 1024 * 1024
"""Bytes; readers leave out larger ones."""
MAX_BLOCKS = 5_000
"""Of one file; an extended XMP of 4 MB in pieces of 1 KB has as many."""
MAX_BLOCKS_BYTES = 16 * 1024 * 1024
"""Of all blocks of a file together."""

_MOST_READ = 8 * 1024 * 1024
"""The most bytes that are read of an object for its metadata."""

_EXIF = b"Exif\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_RESOURCES = frozenset({b"8BIM", b"PHUT", b"DCSR", b"AgHg", b"MeSa"})
_IIM = b"\x1c"
_C2PA = b"c2pa"
_C2PA_BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"""The `uuid` of the box that holds a manifest in HEIF and MP4 (C2PA 2.1, A.5)."""
_MANIFEST_START = 256
"""Bytes in which a manifest names itself."""

_IPTC_DIGEST, _EXIF_RESOURCE = 0x0425, 0x0422
_BLOCK_RESOURCES = frozenset({0x0404, 0x0424})
"""IPTC and XMP."""
_EMBEDDED = frozenset({700, 33723, 34377, 52545})
"""Tags of a TIFF: XMP, IPTC, Photoshop's resources and C2PA's manifest."""
_PART_HEADER = struct.Struct(">32sII")

# A packet in UTF-8, UTF-16 or UTF-32, after a byte order mark, blanks or padding.
_XMP_START = re.compile(rb"[\xef\xbb\xbf\xfe\xff\0 \t\r\n]{0,256}+<\0{0,3}(?:\?|[a-zA-Z]|!)")


class Sorted(msgspec.Struct):
    """The blocks of a file by what they are, each in the order of the file."""

    exif: list[Tiff] = msgspec.field(default_factory=list)
    xmp: list[bytes] = msgspec.field(default_factory=list)
    """Packets; parts of one are joined."""
    iptc: list[bytes] = msgspec.field(default_factory=list)
    iptc_digests: list[bytes] = msgspec.field(default_factory=list)
    """MD5 of the IPTC from which, by Photoshop's word, the XMP was made."""
    has_content_credentials: bool = False
    is_cut: bool = False
    """A part of the metadata lies outside of the window."""


def sort(blocks: Sequence[Block]) -> Sorted:
    """Recognise each block, unpack those that hold others, and join what containers had to split.

    Raises:
        MoreBytesError: a block that is a window holds another one, which may be asked for.
    """
    found = Sorted()
    tiffs: list[list[Block]] = []
    resources: list[bytes] = []
    extended: list[bytes] = []
    for block in blocks[:MAX_BLOCKS]:
        start = _start(block)
        if start.startswith(_EXIF):
            part = _after(block, len(_EXIF) + 1)
            if tiffs and not is_tiff(bytes(part[:4])):
                tiffs[-1].append(part)  # a JPEG goes on with what is larger than a segment of 64 KB
            else:
                tiffs.append([part])
        elif is_tiff(start):
            tiffs.append([block])
        elif start.startswith(_XMP):
            found.xmp.append(bytes(_after(block, len(_XMP))))
        elif start.startswith(_EXTENDED_XMP):
            extended.append(bytes(_after(block, len(_EXTENDED_XMP))))
        else:
            _keep_bytes(bytes(_after(block, 0)), found, resources)
    for first, *more in tiffs:
        is_whole = isinstance(first, Window) or not more
        tiff = first if is_whole else b"".join(bytes(_after(part, 0)) for part in (first, *more))
        _keep_tiff(tiff, found, resources)
    _keep_resources(b"".join(resources), found)
    found.xmp += _joined(extended)
    return found


def _start(block: Block) -> bytes:
    return (
        (block.peek(0, min(block.size, 64)) or b"")
        if isinstance(block, Window)
        else bytes(block[:64])
    )


def _after(block: Block, length: int) -> bytes | memoryview:
    return block.read(length, block.size - length) if isinstance(block, Window) else block[length:]


def _keep_tiff(block: Block, found: Sorted, resources: list[bytes]) -> None:
    """A TIFF, and the blocks that its first directory holds."""
    window = block if isinstance(block, Window) else Window(block, len(block))
    if window.size < 8 or not is_tiff(window.read(0, 4)):
        return
    tiff = Tiff(window)
    found.exif.append(tiff)
    directory = tiff.directory(tiff.first, _EMBEDDED)
    for entry in directory.entries.values():
        if entry.size > MAX_BLOCK:
            continue
        try:
            content = tiff.raw(entry, MAX_BLOCK)
        except MoreBytesError as more:
            if window.may_ask(more, _MOST_READ):
                raise
            found.is_cut = True
        else:
            _keep_bytes(content, found, resources)


def _keep_bytes(content: bytes, found: Sorted, resources: list[bytes]) -> None:
    """A block in one piece, that holds no directories."""
    if content.startswith(_PHOTOSHOP):
        resources.append(content[len(_PHOTOSHOP) :])
    elif content[:4] in _RESOURCES:
        resources.append(content)
    elif content[:1] == _IIM:
        found.iptc.append(content)
    elif content[3:4] == _IIM:  # typed LONG, and swapped by a library that took it for numbers
        found.iptc.append(_swapped(content))
    elif content[4:8] == b"jumb" or content.startswith(_C2PA_BOX):
        found.has_content_credentials |= _C2PA in content[:_MANIFEST_START]
    elif _XMP_START.match(content):
        found.xmp.append(content)


def _swapped(content: bytes) -> bytes:
    whole = content[: len(content) // 4 * 4]
    words = struct.unpack(f"<{len(whole) // 4}I", whole)
    return struct.pack(f">{len(words)}I", *words)


def _keep_resources(resources: bytes, found: Sorted) -> None:
    """Photoshop's image resources (Adobe Photoshop File Formats, "Image Resource Blocks")."""
    at = 0
    for _ in range(MAX_BLOCKS):
        if resources[at : at + 4] not in _RESOURCES or at + 12 > len(resources):
            return
        number = int.from_bytes(resources[at + 4 : at + 6], "big")
        name_bytes = 1 + resources[at + 6]
        size_at = at + 6 + name_bytes + name_bytes % 2
        size = int.from_bytes(resources[size_at : size_at + 4], "big")
        end = size_at + 4 + size
        if size_at + 4 > len(resources) or end > len(resources):
            return
        content = resources[size_at + 4 : end]
        if number == _IPTC_DIGEST:
            found.iptc_digests.append(content)
        elif number == _EXIF_RESOURCE:
            _keep_tiff(content, found, [])
        elif number in _BLOCK_RESOURCES:
            _keep_bytes(content, found, [])
        at = end + size % 2


def _joined(parts: list[bytes]) -> list[bytes]:
    """Extended XMP (XMP part 3, 1.1.3.1): each part has a digest, the whole's length, its offset.

    A packet of which a part is missing is no packet.
    """
    packets: dict[bytes, tuple[int, dict[int, bytes]]] = {}
    for part in parts:
        if len(part) < _PART_HEADER.size:
            continue
        digest, length, offset = _PART_HEADER.unpack_from(part)
        _, pieces = packets.setdefault(digest, (length, {}))
        pieces.setdefault(offset, part[_PART_HEADER.size :])
    joined = []
    for length, pieces in packets.values():
        whole = b"".join(pieces[offset] for offset in sorted(pieces))
        is_gapless = all(
            offset + len(piece) == following
            for (offset, piece), following in zip(
                sorted(pieces.items()), [*sorted(pieces)[1:], length], strict=True
            )
        )
        if is_gapless and 0 in pieces and length <= MAX_BLOCK:
            joined.append(whole)
    return joined
