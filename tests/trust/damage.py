"""Damage that shows: of how many files the probe tells that they are not what was written."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from PIL import Image, ImageOps
from rich.console import Console
from rich.table import Table

from media_enricher.models import AssetStatus
from tests.probe.samples import full
from tests.trust import packages

ZEROED_BYTES = 1024
FLIPPED_BYTES = 8
FILES = 40
"""Of each kind: half with zeroed bytes, half with flipped ones."""
_SIDE = 1000
_PHOTOGRAPHS = 10


class Kind(msgspec.Struct, frozen=True):
    """How a picture is saved, and how much of its damage must be told."""

    image_format: str
    how: Mapping[str, Any]
    least: int
    """Of `FILES`."""
    side: int = _SIDE


KINDS = {
    "JPEG": Kind("jpeg", {"quality": 85}, 34),
    "JPEG progressive": Kind("jpeg", {"quality": 85, "progressive": True}, 34),
    "JPEG progressive, large": Kind("jpeg", {"quality": 85, "progressive": True}, 20, side=1800),
    "PNG": Kind("png", {"compress_level": 1}, 40),
    "GIF": Kind("gif", {}, 34),
    "WebP lossy": Kind("webp", {"quality": 80, "method": 2}, 38),
    "WebP lossless": Kind("webp", {"lossless": True, "method": 0}, 34),
    "AVIF": Kind("avif", {"quality": 70, "speed": 9}, 0),
    "TIFF Deflate": Kind("tiff", {"compression": "tiff_adobe_deflate"}, 40),
    "TIFF LZW": Kind("tiff", {"compression": "tiff_lzw"}, 38),
    "TIFF JPEG": Kind("tiff", {"compression": "jpeg"}, 34),
    "TIFF PackBits": Kind("tiff", {"compression": "packbits"}, 20),
    "TIFF uncompressed": Kind("tiff", {}, 0),
}


def compare(folder: Path) -> list[Damage]:
    """Fetch photographs, save them, damage them, and look what the probe says.

    Raises:
        PackagesError: pip could not fetch those that the demo has as well.
        ToolError: apt-get failed.
    """
    large, _ = packages.photographs(folder)
    damage = Damage()
    pictures = [_opened(path) for path in large[:: max(len(large) // _PHOTOGRAPHS, 1)]]
    for name, kind in KINDS.items():
        damage.add(name, kind, pictures)
    return [damage]


class Damage:
    """Counts by kind of file: failed, shown with a warning, and shown without a word."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, int, int]] = {}
        self._alarms: dict[str, int] = {}

    def add(self, name: str, kind: Kind, pictures: list[Image.Image]) -> None:
        """Save pictures of one kind, and look at each sound and damaged."""
        files = []
        for picture in pictures:
            small = picture.copy()
            small.thumbnail((kind.side, kind.side))
            file = io.BytesIO()
            small.save(file, kind.image_format, **kind.how)
            files.append(file.getvalue())
        self._alarms[name] = sum(_told(data) != "silent" for data in files)
        harms: tuple[Callable[[bytes, random.Random], bytes], ...] = (zeroed, flipped)
        told = [
            _told(harms[seed % 2](files[seed // 2 % len(files)], random.Random(seed)))
            for seed in range(FILES)
        ]
        failed, warned = told.count("failed"), told.count("damaged")
        self._counts[name] = (failed, warned, FILES - failed - warned)

    def shortcomings(self) -> Iterator[str]:
        """What is told less often than it can be, and sound files that are called damaged."""
        for name, (failed, warned, _) in self._counts.items():
            if failed + warned < KINDS[name].least:
                yield f"damage: {name} {failed + warned} of {FILES}, {KINDS[name].least} are needed"
            if self._alarms[name]:
                yield f"damage: {self._alarms[name]} sound files of {name} are not called sound"

    def show(self, console: Console) -> None:
        """Print the counts."""
        table = Table(
            title=f"{ZEROED_BYTES} bytes zeroed or {FLIPPED_BYTES} flipped, {FILES} files each"
        )
        table.add_column("format")
        for heading in ("told", "failed", "warned of", "without a word", "needed"):
            table.add_column(heading, justify="right")
        for name, (failed, warned, silent) in self._counts.items():
            numbers = (failed + warned, failed, warned, silent, KINDS[name].least)
            table.add_row(name, *map(str, numbers))
        console.print(table)


def zeroed(data: bytes, numbers: random.Random) -> bytes:
    """The file with a stretch of zeros amid its pixels."""
    at = numbers.randrange(len(data) // 10, max(len(data) - 2 * ZEROED_BYTES, len(data) // 5))
    return data[:at] + bytes(ZEROED_BYTES) + data[at + ZEROED_BYTES :]


def flipped(data: bytes, numbers: random.Random) -> bytes:
    """The file with other values of single bytes amid its pixels."""
    hurt = bytearray(data)
    for _ in range(FLIPPED_BYTES):
        hurt[numbers.randrange(len(data) // 10, len(data) - 200)] ^= numbers.randrange(1, 256)
    return bytes(hurt)


def _told(data: bytes) -> str:
    found = full(data)
    if found.status is not AssetStatus.ENRICHED:
        return "failed"
    return "damaged" if found.warnings else "silent"


def _opened(path: Path) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(path)).convert("RGB")
