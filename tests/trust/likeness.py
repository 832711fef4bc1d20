"""The perceptual hash: copies of a photograph are near, different photographs are far."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import combinations
from pathlib import Path

from PIL import Image, ImageOps
from rich.console import Console
from rich.table import Table

from tests.probe.samples import full
from tests.trust import packages

NEAR = 6
"""Bits by which a copy may differ from its original."""
FAR = 20
"""Bits by which different photographs differ at least, and one more."""
NEEDED = 99.0
"""Percent, of copies and of pairs."""
LEAST = 100
"""Photographs that must have been compared."""

_SHORTEST = 64
"""Pixels of a copy's shorter side, at least."""
_LARGEST = 2400
_LEAST_THUMBNAIL = 90
_NO_PHOTOGRAPHS = (
    "/mate/abstract/",
    "/mate/desktop/",
    "analogpattern_by_Peter_Nerlich",
    "pexels-36444540",
    "umang_by_Abhishek_Mudgal",
)
"""Drawn or computed."""
_SAME_SCENES = ("pexels-7303994", "pexels-7303995", "pexels-cup-of-couple-7303788")
"""The same things as in another photograph, from the same place."""


def compare(folder: Path) -> list[Likeness]:
    """Fetch photographs, and measure.

    Raises:
        PackagesError: pip could not fetch those that the demo has as well.
        ToolError: apt-get failed.
    """
    likeness = Likeness("perceptual hash", least=LEAST)
    for name, picture in _photographs(folder):
        likeness.add(name, picture)
    return [likeness]


class Likeness:
    """Measures distances in bits: between a picture and its copies, and between pictures."""

    def __init__(self, title: str, *, least: int) -> None:
        self.title = title
        self._least = least
        self._hashes: dict[str, int] = {}
        self._copies: dict[str, list[int]] = {}

    def add(self, name: str, picture: Image.Image) -> None:
        """Add a photograph, and compare it with copies of it, made here."""
        original = _hash(_saved(picture, "png", compress_level=1))
        self._hashes[name] = original
        for kind, data in copies(picture).items():
            self._copies.setdefault(kind, []).append((_hash(data) ^ original).bit_count())

    @property
    def percent_near(self) -> float:
        """Of all copies: those within `NEAR` bits."""
        return _percent([d <= NEAR for distances in self._copies.values() for d in distances])

    @property
    def percent_far(self) -> float:
        """Of all pairs of different photographs: those of more than `FAR` bits."""
        return _percent([distance > FAR for distance, _, _ in self._pairs()])

    def shortcomings(self) -> Iterator[str]:
        """What is below what is needed."""
        if len(self._hashes) < self._least:
            yield f"{self.title}: {len(self._hashes)} photographs, {self._least} are needed"
        for what, percent in (
            (f"of copies are within {NEAR} bits", self.percent_near),
            (f"of pairs are over {FAR} bits apart", self.percent_far),
        ):
            if percent < NEEDED:
                yield f"{self.title}: {percent:.2f}% {what}, {NEEDED}% are needed"

    def show(self, console: Console) -> None:
        """Print the distances of copies by their kind, and those of different photographs."""
        table = Table(title=f"{self.title}: {len(self._hashes)} photographs and their copies")
        for heading in ("copy", "compared", "mean bits", "most bits"):
            table.add_column(heading, justify="left" if heading == "copy" else "right")
        for kind, distances in self._copies.items():
            mean = sum(distances) / len(distances)
            table.add_row(kind, f"{len(distances)}", f"{mean:.2f}", f"{max(distances)}")
        console.print(table)
        pairs = sorted(self._pairs())
        console.print(
            f"{self.percent_near:.2f}% of copies are within {NEAR} bits; "
            f"{self.percent_far:.2f}% of {len(pairs):,} pairs are over {FAR} bits apart"
        )
        for distance, one, other in pairs[:5]:
            console.print(f"  {distance} bits: {one}, {other}", markup=False, highlight=False)

    def _pairs(self) -> list[tuple[int, str, str]]:
        return [
            ((self._hashes[one] ^ self._hashes[other]).bit_count(), one, other)
            for one, other in combinations(self._hashes, 2)
        ]


def copies(picture: Image.Image) -> Mapping[str, bytes]:
    """Copies as people make them: other formats, other qualities, smaller."""
    made = {f"JPEG {quality}": _saved(picture, "jpeg", quality=quality) for quality in (95, 75, 50)}
    made["JPEG progressive"] = _saved(picture, "jpeg", quality=80, progressive=True)
    made["JPEG grey"] = _saved(picture.convert("L"), "jpeg", quality=85)
    made["WebP"] = _saved(picture, "webp", quality=75, method=2)
    for divisor in (2, 3, 4, 8):
        size = picture.width // divisor, picture.height // divisor
        if min(size) >= _SHORTEST:
            smaller = picture.resize(size, Image.Resampling.LANCZOS)
            made[f"JPEG 85, 1/{divisor}"] = _saved(smaller, "jpeg", quality=85)
    return made


def _photographs(folder: Path) -> Iterator[tuple[str, Image.Image]]:
    large, cameras = packages.photographs(folder)
    for path in large:
        if not any(part in str(path) for part in (*_NO_PHOTOGRAPHS, *_SAME_SCENES)):
            upright = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
            upright.thumbnail((_LARGEST, _LARGEST))
            yield path.name, upright
    seen: set[bytes] = set()
    for path in cameras:
        thumbnail = _thumbnail(path.read_bytes())
        if thumbnail is not None and thumbnail.tobytes() not in seen:
            seen.add(thumbnail.tobytes())
            yield path.name, thumbnail


def _thumbnail(data: bytes) -> Image.Image | None:
    """The thumbnail in a photograph's EXIF, which is a JPEG of its own."""
    start = data.find(b"\xff\xd8\xff", 2)
    with suppress(OSError, SyntaxError):
        if start > 0:
            thumbnail = Image.open(io.BytesIO(data[start:])).convert("RGB")
            return thumbnail if min(thumbnail.size) >= _LEAST_THUMBNAIL else None
    return None


def _saved(picture: Image.Image, image_format: str, **how: int | bool) -> bytes:
    file = io.BytesIO()
    picture.save(file, image_format, **how)
    return file.getvalue()


def _hash(data: bytes) -> int:
    found = full(data).phash
    if found is None:
        raise ValueError("A copy has no perceptual hash.")
    return int(found, 16)


def _percent(each: list[bool]) -> float:
    return 100 * sum(each) / len(each) if each else 100.0
