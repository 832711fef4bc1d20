"""Copies of pictures of every format, into which exiftool writes metadata of every kind.

Few files that packages bring hold a title, keywords or a position. Files that exiftool can't write
stay as they were.
"""

from __future__ import annotations

import random
import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from tests.trust.tools import output

_MOST_BYTES = 400_000
_OF_A_FORMAT = 6
_SKIPPED = ("rot", "transform_mismatch", "L_xmp_latin1", "psd-large-bytecounts")
"""Files that disagree by their pictures or old metadata, which is told of them as they are."""
_WRITTEN: dict[str, tuple[str, ...]] = {
    "xmp": (
        "-XMP-dc:Title=H\u00e9llo", '-XMP-dc:Description=\u00dcber "x" & <y>', "-XMP-dc:Subject=a",
        "-XMP-dc:Subject=b, c", "-XMP-exif:GPSLatitude=48.5", "-XMP-exif:GPSLongitude=-2.25",
        "-XMP-photoshop:DateCreated=2020:01:02 03:04:05+02:00", "-XMP-aux:Lens=L 50mm",
        "-XMP-tiff:Make=M", "-XMP-tiff:Model=N",
    ),
    "exif": (
        "-EXIF:DateTimeOriginal=2019:05:06 07:08:09", "-EXIF:SubSecTimeOriginal=42",
        "-EXIF:OffsetTimeOriginal=+02:00", "-EXIF:Make=Canon", "-EXIF:Model=EOS",
        "-EXIF:LensModel=EF 50", "-EXIF:GPSLatitude=48.5", "-EXIF:GPSLatitudeRef=N",
        "-EXIF:GPSLongitude=2.25", "-EXIF:GPSLongitudeRef=W", "-EXIF:ImageDescription=Words",
        "-EXIF:XPTitle=T\u00eftle", "-EXIF:XPKeywords=x;y", "-IFD0:Orientation#=6",
    ),
    "iptc": (
        "-IPTC:ObjectName=Obj", "-IPTC:Caption-Abstract=Capti\u00f6n", "-IPTC:Keywords=k1",
        "-IPTC:Keywords=k\u00f62", "-IPTC:DateCreated=2018:01:02",
        "-IPTC:TimeCreated=03:04:05+01:00", "-IPTC:CodedCharacterSet=UTF8",
    ),
    "several": (
        "-EXIF:CreateDate=2011:01:01 00:00:00", "-XMP-exif:DateTimeOriginal=2012:02:02 10:00:00.25",
        "-XMP-dc:Title-de=Deutsch", "-XMP-dc:Title=Default", "-EXIF:GPSLatitude=0",
        "-EXIF:GPSLatitudeRef=N", "-EXIF:GPSLongitude=0", "-EXIF:GPSLongitudeRef=E",
        "-IPTC:Keywords=z", "-XMP-dc:Subject=z", "-XMP-dc:Subject=q",
    ),
    "own": (
        "-PNG:Title=Of a chunk", "-PNG:Description=Of a ch\u00fcnk", "-XMP-exifEX:LensModel=X lens",
    ),
}  # fmt: skip
"""What is written -> arguments of exiftool."""


def make(folder: Path, pictures: Iterable[Path]) -> list[Path]:
    """Copy a few pictures of each format, and write each kind of metadata into its copies."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    made = []
    for kind, arguments in _WRITTEN.items():
        copies = [
            Path(shutil.copy(path, folder / f"{kind}-{number:03}-{path.stem[:40]}{path.suffix}"))
            for number, path in enumerate(_chosen(pictures))
        ]
        exiftool: list[str | Path] = [
            "exiftool",
            "-q",
            "-q",
            "-m",
            "-overwrite_original",
            *arguments,
            *copies,
        ]
        output(exiftool, may_fail=True)
        made += copies
    return made


def _chosen(pictures: Iterable[Path]) -> list[Path]:
    """The same ones each time."""
    by_suffix: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(pictures):
        if path.stat().st_size <= _MOST_BYTES and not path.stem.startswith(_SKIPPED):
            by_suffix[path.suffix.lower()].append(path)
    order = random.Random(5)
    return [
        path
        for _, paths in sorted(by_suffix.items())
        for path in order.sample(paths, min(_OF_A_FORMAT, len(paths)))
    ]
