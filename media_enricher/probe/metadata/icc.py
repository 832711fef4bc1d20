"""The description of an ICC profile, such as `Display P3` (ICC.1:2022, 9.2.41 and 10.15)."""

from __future__ import annotations

import struct

from media_enricher.probe.metadata.texts import clean

_MAX_TAGS = 200
_MAX_NAME = 200
_TAG = struct.Struct(">4sII")
_RECORD = struct.Struct(">2s2sII")


def description(profile: bytes) -> str | None:
    """What the profile calls itself; None where it does not say, or is not one.

    Reading the one tag costs 2 µs; Little CMS, which builds the whole profile, takes far longer.
    """
    if len(profile) < 132 or profile[36:40] != b"acsp":
        return None
    count = min(int.from_bytes(profile[128:132], "big"), _MAX_TAGS, (len(profile) - 132) // 12)
    for index in range(count):
        signature, offset, size = _TAG.unpack_from(profile, 132 + 12 * index)
        if signature == b"desc":
            return _text(profile[offset : offset + size])
    return None


def _text(tag: bytes) -> str | None:
    if tag[:4] == b"desc":  # version 2: ASCII with its length
        length = int.from_bytes(tag[8:12], "big")
        return clean(tag[12 : 12 + length].partition(b"\0")[0].decode("latin-1"), _MAX_NAME)
    if tag[:4] == b"mluc":  # version 4: UTF-16 in several languages
        return _localised(tag)
    return None


def _localised(tag: bytes) -> str | None:
    count = min(int.from_bytes(tag[8:12], "big"), _MAX_TAGS, max(len(tag) - 16, 0) // 12)
    records = [_RECORD.unpack_from(tag, 16 + 12 * index) for index in range(count)]
    if not records:
        return None
    _, _, length, offset = next((record for record in records if record[0] == b"en"), records[0])
    return clean(tag[offset : offset + length].decode("utf-16-be", errors="ignore"), _MAX_NAME)
