"""ZIP files (PKWARE's APPNOTE 6.3.10), read by ranges: their directory, and single members.

Whatever the directory says, no more is read or inflated than the limits here allow.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import NamedTuple

from media_enricher.models import ErrorCode
from media_enricher.probe.source import UnreadableError, Window

MAX_MEMBERS = 10_000
MAX_DIRECTORY = 1024 * 1024
"""Bytes of the directory that are read; members behind them are not known."""
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR_64 = struct.Struct("<4sIQI")
_LOCAL_NAME = re.compile(rb"PK\x03\x04.{22}(..)..", re.S)
_USUAL_TAIL = 1024
_LONGEST_TAIL = _END.size + 0xFFFF
_STORED, _DEFLATED = 0, 8
_IS_ENCRYPTED = 1
_UNKNOWN = 0xFFFFFFFF


class Member(NamedTuple):
    """A file within: its method, lengths in bytes, and where its local header stands."""

    method: int
    flags: int
    packed: int
    unpacked: int
    offset: int

    @property
    def is_encrypted(self) -> bool:
        """Its bytes need a password."""
        return bool(self.flags & _IS_ENCRYPTED)


def members(window: Window) -> dict[str, Member]:
    """The members by name, in the order of the directory; `MAX_MEMBERS` of them at most.

    Raises:
        MoreBytesError: the directory is not held.
        UnreadableError: truncated or corrupt: there is no directory.
    """
    count, length, start = _directory(window)
    wanted = min(length, MAX_DIRECTORY)
    directory = window.read(start, min(wanted, window.size - start)) if start < window.size else b""
    found: dict[str, Member] = {}
    at = 0
    for _ in range(min(count, MAX_MEMBERS)):
        if at + _CENTRAL.size > len(directory):
            break
        entry = _CENTRAL.unpack_from(directory, at)
        mark, flags, method, packed, unpacked = entry[0], entry[3], entry[4], entry[8], entry[9]
        name_length, extra_length, comment_length = entry[10], entry[11], entry[12]
        if mark != b"PK\x01\x02":
            break
        name_at = at + _CENTRAL.size
        name = directory[name_at : name_at + name_length].decode(errors="replace")
        found.setdefault(name, Member(method, flags, packed, unpacked, entry[16]))
        at = name_at + name_length + extra_length + comment_length
    return found


def first_name(head: bytes) -> str | None:
    """The name of the member that a ZIP begins with."""
    return next(iter(local_names(head[:1024])), None)


def local_names(head: bytes) -> list[str]:
    """Names of the members that begin in `head`, for a file of which the directory is missing."""
    names = []
    for found in _LOCAL_NAME.finditer(head):
        length = int.from_bytes(found[1], "little")
        names.append(head[found.end() : found.end() + length].decode(errors="replace"))
    return names


def inflated(window: Window, member: Member, limit: int) -> bytes:
    """The bytes of a member, `limit` of them at most; as many as there are of a damaged one.

    Raises:
        MoreBytesError: they are not held.
        UnreadableError: truncated, encrypted, or packed by a method other than Deflate.
    """
    head = _LOCAL.unpack(window.read(member.offset, _LOCAL.size))
    if head[0] != b"PK\x03\x04" or member.is_encrypted or member.method not in {0, _DEFLATED}:
        raise UnreadableError(
            ErrorCode.CORRUPT,
            f"The member at byte {member.offset:,} of the ZIP can't be unpacked: it is damaged, "
            f"encrypted or packed by method {member.method}.",
        )
    start = member.offset + _LOCAL.size + head[9] + head[10]
    # Deflate makes bytes of text longer by no more than a few; what is packed longer is cut.
    length = min(member.packed, limit + 1024, max(window.size - start, 0))
    packed = window.read(start, length) if length else b""
    if member.method == _STORED:
        return packed[:limit]
    try:
        return zlib.decompressobj(wbits=-15).decompress(packed, limit)
    except zlib.error as error:
        raise UnreadableError(
            ErrorCode.CORRUPT, f"The member at byte {member.offset:,} is damaged: {error}."
        ) from error


def _directory(window: Window) -> tuple[int, int, int]:
    """How many members there are, and the directory's length and offset."""
    for length in (_USUAL_TAIL, _LONGEST_TAIL):
        start = max(0, window.size - length)
        tail = window.read(start, window.size - start)
        at = tail.rfind(b"PK\x05\x06", 0, len(tail) - _END.size + 4)
        if at >= 0:
            break
    else:
        raise UnreadableError(
            ErrorCode.TRUNCATED,
            f"The ZIP has no directory at its end, byte {window.size:,}; it is cut.",
        )
    end = _END.unpack_from(tail, at)
    count, length, offset = end[4], end[5], end[6]
    if _UNKNOWN in (offset, length) or count == 0xFFFF:
        locator_at = start + at - _LOCATOR_64.size
        if locator_at >= 0:
            locator = _LOCATOR_64.unpack(window.read(locator_at, _LOCATOR_64.size))
            if locator[0] == b"PK\x06\x07" and locator[2] + _END_64.size <= window.size:
                end64 = _END_64.unpack(window.read(locator[2], _END_64.size))
                return end64[7], end64[8], end64[9]
    return count, length, offset
