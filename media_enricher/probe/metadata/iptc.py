"""Title, caption and keywords of IPTC-IIM (version 4.2), and the Photoshop blocks it comes in."""

from __future__ import annotations

import struct

import msgspec

from media_enricher.probe.metadata.texts import decoded

_MAX_RECORDS = 5_000
_UTF8_ESCAPE = b"\x1b%G"


class Iptc(msgspec.Struct):
    """What an editor wrote, as it stands."""

    title: str | None = None
    description: str | None = None
    tags: list[str] = msgspec.field(default_factory=list)


def from_photoshop(blocks: bytes) -> bytes | None:
    """The IPTC block (8BIM 0x0404) among Photoshop's image resources."""
    at = 0
    while blocks[at : at + 4] == b"8BIM" and at + 12 <= len(blocks):
        name_bytes = 1 + blocks[at + 6]
        size_at = at + 6 + name_bytes + name_bytes % 2
        if size_at + 4 > len(blocks):
            return None
        size = int.from_bytes(blocks[size_at : size_at + 4], "big")
        if blocks[at + 4 : at + 6] == b"\x04\x04":
            return blocks[size_at + 4 : size_at + 4 + size]
        at = size_at + 4 + size + size % 2
    return None


def read(block: bytes) -> Iptc:
    """The datasets we keep; reading stops where the block stops making sense."""
    found = Iptc()
    is_utf8 = False
    at = 0
    for _ in range(_MAX_RECORDS):
        if block[at : at + 1] != b"\x1c" or at + 5 > len(block):
            break
        record, dataset, length = struct.unpack_from(">BBH", block, at + 1)
        if length & 0x8000:  # an extended length, for values no text field has
            break
        value = block[at + 5 : at + 5 + length]
        at += 5 + length
        if (record, dataset) == (1, 90):
            is_utf8 = value.startswith(_UTF8_ESCAPE)
        elif record == 2:
            _keep(found, dataset, value, is_utf8=is_utf8)
    return found


def _keep(found: Iptc, dataset: int, value: bytes, *, is_utf8: bool) -> None:
    if dataset not in {5, 25, 120}:
        return
    text = value.decode("utf-8", errors="replace") if is_utf8 else decoded(value)
    if dataset == 5:
        found.title = found.title or text
    elif dataset == 25:
        found.tags.append(text)
    else:
        found.description = found.description or text
