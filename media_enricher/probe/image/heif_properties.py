"""What the properties of a HEIF picture say: how it is placed, and how it is coded."""

from __future__ import annotations

import struct
from fractions import Fraction

from media_enricher.probe.image.transforms import Placement


def placement(properties: list[tuple[bytes, bytes]], width: int, height: int) -> Placement:
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


def coded_depth(properties: dict[bytes, bytes]) -> int:
    """Bits per channel by the configuration record of AV1 or HEVC; 8 where there is none."""
    config = properties.get(b"av1C", b"")
    if len(config) > 2 and config[2] & 0x40:
        return 12 if config[2] & 0x20 else 10
    config = properties.get(b"hvcC", b"")
    return 8 + (config[17] & 7) if len(config) > 17 else 8


def is_coded_grey(properties: dict[bytes, bytes]) -> bool:
    """Whether HEVC's configuration record names no chroma (`chroma_format_idc`)."""
    config = properties.get(b"hvcC", b"")
    return len(config) > 16 and config[16] & 3 == 0
