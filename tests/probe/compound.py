"""Compound files (MS-CFB) and property sets (MS-OLEPS), made in code."""

from __future__ import annotations

import struct
from collections.abc import Mapping

SECTOR, SMALL, CUTOFF = 512, 64, 4096
END, FREE, TABLE = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD
WORD = b"\xec\xa5\xc1\0" + bytes(6) + b"\0\0" + bytes(5000)
"""The stream `WordDocument` of one without a password."""


def compound_file(
    streams: Mapping[str, bytes], *, class_id: bytes = bytes(16), padding: int = 0
) -> bytes:
    """A compound file with these streams at its top level, and `padding` free bytes amid it."""
    sectors: list[bytes] = []
    following: list[int] = []

    def add(content: bytes) -> int:
        """Append a chain of sectors, and return its first."""
        if not content:
            return END
        first = len(sectors)
        pieces = [content[at : at + SECTOR] for at in range(0, len(content), SECTOR)]
        sectors.extend(piece.ljust(SECTOR, b"\0") for piece in pieces)
        following.extend([*range(first + 1, first + len(pieces)), END])
        return first

    small_stream, small_following = b"", list[int]()
    places: dict[str, int] = {}
    for name, content in streams.items():
        if len(content) >= CUTOFF:
            places[name] = add(content)
            continue
        first = len(small_following)
        count = -(-len(content) // SMALL)
        places[name] = first if content else END
        small_following += [*range(first + 1, first + count), END][:count]
        small_stream += content.ljust(count * SMALL, b"\0")
    small_at = add(small_stream)
    table_of_small = add(struct.pack(f"<{len(small_following)}I", *small_following).ljust(
        SECTOR if small_following else 0, b"\xff"))  # fmt: skip
    for _ in range(padding // SECTOR):
        add(b"\0")
        following[-1] = FREE
    entries = [entry("Root Entry", 5, small_at, len(small_stream), child=1, class_id=class_id)]
    for number, (name, content) in enumerate(streams.items(), 1):
        right = number + 1 if number < len(streams) else FREE
        entries.append(entry(name, 2, places[name], len(content), right=right))
    directory = add(b"".join(entries))
    per_sector = SECTOR // 4
    tables = 1
    while tables * per_sector < len(sectors) + tables:
        tables += 1
    first_table = len(sectors)
    following += [TABLE] * tables
    following += [FREE] * (tables * per_sector - len(following))
    table = struct.pack(f"<{len(following)}I", *following)
    assert tables <= 109, "the header lists no more"
    listed = [*range(first_table, first_table + tables), *[FREE] * (109 - tables)]
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    header += struct.pack("<HHHHH6xII", 62, 3, 0xFFFE, 9, 6, 0, tables)
    header += struct.pack("<IIIIIII", directory, 0, CUTOFF, table_of_small, 1, END, 0)
    return header + struct.pack("<109I", *listed) + b"".join(sectors) + table


def entry(
    name: str,
    kind: int,
    start: int,
    length: int,
    *,
    right: int = FREE,
    child: int = FREE,
    class_id: bytes = bytes(16),
) -> bytes:
    """An entry of the directory."""
    encoded = (name + "\0").encode("utf-16-le")
    return (
        encoded.ljust(64, b"\0")
        + struct.pack("<HBBIII", len(encoded), kind, 1, FREE, right, child)
        + class_id
        + bytes(20)
        + struct.pack("<IIxxxx", start, length)
    )


def property_set(
    values: Mapping[int, str | int], *, code_page: int = 1252, encoding: str = "cp1252"
) -> bytes:
    """A stream with one property set."""
    content = b""
    places = [(1, len(content))]
    content += struct.pack("<IhH", 2, code_page - (65536 if code_page > 32767 else 0), 0)
    for number, value in values.items():
        places.append((number, len(content)))
        if isinstance(value, int):
            content += struct.pack("<Ii", 3, value)
        else:
            text = value.encode(encoding) + bytes(2 if encoding.startswith("utf-16") else 1)
            content += struct.pack("<II", 30, len(text)) + text + bytes(-len(text) % 4)
    start = 8 + 8 * len(places)
    section = struct.pack("<II", start + len(content), len(places))
    section += b"".join(struct.pack("<II", number, start + at) for number, at in places) + content
    return b"\xfe\xff\0\0" + bytes(4 + 16) + struct.pack("<I16xI", 1, 48) + section
