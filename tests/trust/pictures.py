"""Pictures: the probe against exiftool, field by field."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import msgspec

from media_enricher.models import Findings
from media_enricher.probe.metadata.texts import clean, distinct, is_default_description
from tests.probe.samples import OPTIONS, full
from tests.trust import packages, written_metadata
from tests.trust.comparison import Comparison, Disagreement
from tests.trust.picture_rules import RULES
from tests.trust.tools import need, output

LEAST = 1_500
LEAST_WRITTEN = 300
_NEEDED = {
    "content_type": 100.0, "width": 100.0, "height": 100.0, "orientation": 100.0,
    "taken_at": 99.5, "camera_make": 99.5, "camera_model": 99.5, "lens": 99.5, "title": 99.5,
    "description": 99.5, "tags": 99.5, "has_location": 99.5,
}  # fmt: skip
_WITH_LOCATION = msgspec.structs.replace(OPTIONS, location=True)
Tags = Mapping[str, Any]


def compare(written: Path, fetched: Path) -> list[Comparison]:
    """Fetch the files, and hold the probe against exiftool: as they are, and with metadata by it.

    Raises:
        PackagesError: pip could not fetch pictures that the suite has as well.
        ToolError: a tool is missing, or a package can't be fetched.
    """
    need("exiftool")
    files = packages.pictures(fetched)
    read = _compared("exiftool", files, {path: _name(path) for path in files}, least=LEAST)
    copies = written_metadata.make(written, files)
    names = {path: path.name for path in copies}
    return [read, _compared("exiftool, written by it", copies, names, least=LEAST_WRITTEN)]


def _compared(
    title: str, files: list[Path], names: Mapping[Path, str], *, least: int
) -> Comparison:
    comparison = Comparison(title, _NEEDED, RULES, least=least)
    told = _by_exiftool(files)
    with tempfile.TemporaryDirectory() as copies:
        told |= _shown_whole(told, Path(copies))
    for path in files:
        tags = told.get(str(path), {})
        found = full(path.read_bytes(), path.name, options=_WITH_LOCATION)
        ours, theirs = _probed(found), expected(tags)
        context = {**tags, "status": found.status, "error_code": found.error_code}
        comparison.files += 1
        for field in _NEEDED:
            mine, yours = ours[field], theirs[field]
            kind = str(tags.get("File:FileType", path.suffix[1:])).lower()
            difference = Disagreement(names[path], kind, field, mine, yours, "exiftool", context)
            if (field, mine, yours) != ("orientation", 1, None):  # the same in other words
                comparison.add(difference, same=mine == yours)
    return comparison


def _name(path: Path) -> str:
    """From the package's folder on."""
    parts = path.parts
    start = max(i for i, part in enumerate(parts) if part in {"packages", "demo-photographs"})
    return "/".join(parts[start + 1 :])


def _by_exiftool(files: Iterable[Path]) -> dict[str, Tags]:
    """Every tag of each file by its group and name; numbers as numbers."""
    with tempfile.NamedTemporaryFile("w", suffix=".args") as listed:
        listed.write("\n".join(str(path) for path in files))
        listed.flush()
        command = ["exiftool", "-json", "-n", "-G1", "-charset", "filename=utf8", "-@", listed.name]
        told = msgspec.json.decode(output(command, may_fail=True), type=list[dict[str, Any]])
    return {tags["SourceFile"]: tags for tags in told}


def _shown_whole(told: dict[str, Tags], folder: Path) -> dict[str, Tags]:
    """What exiftool says of the metadata of JPEGs that end behind them.

    Samples of metadata have no picture, and exiftool gives up where no marker follows: it is shown
    a copy up to the end of the last whole segment, and an end of image.
    """
    copies: dict[Path, str] = {}
    for source, tags in told.items():
        if tags.get("ExifTool:Warning") == "JPEG format error":
            data = Path(source).read_bytes()
            copy = folder / f"{len(copies)}.jpg"
            copy.write_bytes(data[: _end_of_segments(data)] + b"\xff\xd9")
            copies[copy] = source
    again = _by_exiftool(copies) if copies else {}
    return {copies[Path(copy)]: tags for copy, tags in again.items()}


def _end_of_segments(jpeg: bytes) -> int:
    end = 2
    while jpeg[end : end + 1] == b"\xff" and end + 4 <= len(jpeg):
        length = 2 + int.from_bytes(jpeg[end + 2 : end + 4], "big")
        if length < 4 or end + length > len(jpeg):
            break
        end += length
    return end


def _probed(found: Findings) -> dict[str, Any]:
    ours = {field: getattr(found, field) for field in _NEEDED}
    if found.taken_at:
        clock = found.taken_at + timedelta(minutes=found.taken_at_offset or 0)
        ours["taken_at"] = clock.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    ours["has_location"] = bool(found.has_location)
    return ours


def expected(tags: Tags) -> dict[str, Any]:
    """What exiftool's tags say of each field, by the order of sources that `Findings` documents."""
    orientation = _orientation(tags)
    width, height = _size(tags, orientation)
    return {
        "content_type": _TYPES.get(tags.get("File:MIMEType", ""), tags.get("File:MIMEType")),
        "width": width,
        "height": height,
        "orientation": orientation,
        "taken_at": _taken(tags),
        "camera_make": _text(tags, "IFD0:Make", "ExifIFD:Make", "XMP-tiff:Make"),
        "camera_model": _text(tags, "IFD0:Model", "ExifIFD:Model", "XMP-tiff:Model"),
        "lens": _text(tags, *_LENS),
        "title": _text(tags, *_edited(tags, "XMP-dc:Title", "IPTC:ObjectName"), *_TITLES),
        "description": _text(
            tags, *_edited(tags, "XMP-dc:Description", "IPTC:Caption-Abstract"), *_DESCRIPTIONS
        ),
        "tags": _keywords(tags),
        "has_location": _has_location(tags),
    }


_TYPES = {
    "application/vnd.adobe.photoshop": "image/vnd.adobe.photoshop",
    "image/x-ms-bmp": "image/bmp",
    "image/x-tiff-big": "image/tiff",
}
"""Names of one type: exiftool's -> ours."""
_LENS = (
    "ExifIFD:LensModel", "IFD0:LensModel", "Canon:LensModel", "Olympus:LensModel",
    "XMP-exifEX:LensModel", "XMP-aux:Lens",
)  # fmt: skip
_TITLES = ("PNG:Title", "SVG:Title", "IFD0:XPTitle")
_DESCRIPTIONS = (
    "XMP-tiff:ImageDescription", "PNG:Description", "SVG:Desc", "IFD0:ImageDescription",
    "IFD0:XPComment",
)  # fmt: skip


_TURNED = {0: 1, 90: 8, 180: 3, 270: 6}
"""Degrees anticlockwise (HEIF's irot) -> orientation."""


def _orientation(tags: Tags) -> int | None:
    """The container's own goes before EXIF's, which then only tells how it was.

    ISO/IEC 23008-12, 6.5.10 (HEIF) and ISO/IEC 18181-2, 9.2 (JPEG XL, of which exiftool does not
    read the turn in its header).
    """
    if tags.get("File:FileType") == "JXL":
        return None
    if tags.get("File:FileType") in {"HEIC", "HEIF", "AVIF"}:
        return _TURNED.get(tags.get("QuickTime:Rotation", -1))
    orientation = tags.get("IFD0:Orientation")
    return orientation if orientation in range(1, 9) else None


def _size(tags: Tags, orientation: int | None) -> tuple[int | None, int | None]:
    """As displayed."""
    size = str(tags.get("Composite:ImageSize", "")).split()
    if len(size) != 2 or not all(part.isdigit() for part in size):
        return None, None
    width, height = (int(part) for part in size)
    return (height, width) if (orientation or 1) >= 5 else (width, height)


def _edited(tags: Tags, xmp: str, iptc: str) -> tuple[str, str]:
    """Which goes first: IPTC where its digest says that it was changed after XMP was written."""
    stored, current = tags.get("Photoshop:IPTCDigest"), tags.get("File:CurrentIPTCDigest")
    return (iptc, xmp) if stored and current and stored != current else (xmp, iptc)


def _text(tags: Tags, *names: str) -> str | None:
    for name in names:
        value = tags.get(name) or next(
            (tags[each] for each in tags if each.startswith(f"{name}-")), None
        )  # in a language
        text = clean(value if isinstance(value, str) else str(value), 10_000) if value else None
        is_default = "escription" in name and text and is_default_description(text)
        if text and not is_default:
            return text
    return None


_CLOCKS: tuple[tuple[str, str | None], ...] = (
    ("ExifIFD:DateTimeOriginal", "ExifIFD:SubSecTimeOriginal"),
    ("IFD0:DateTimeOriginal", None),
    ("ExifIFD:CreateDate", "ExifIFD:SubSecTimeDigitized"),
    ("IPTC:DateCreated", None),
    ("XMP-exif:DateTimeOriginal", "XMP-exif:SubSecTimeOriginal"),
    ("XMP-photoshop:DateCreated", None),
    ("XMP-exif:DateTimeDigitized", None),
)
"""Tag -> that with its fractions of a second, in MWG's order."""
_CLOCK = re.compile(r"(\d{4}):(\d\d):(\d\d)(?: (\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?)?")


def _taken(tags: Tags) -> str | None:
    """What the clock showed, to the millisecond."""
    for name, fraction in _CLOCKS:
        written = str(tags.get(name, ""))
        if name == "IPTC:DateCreated" and "IPTC:TimeCreated" in tags:
            written += f" {tags['IPTC:TimeCreated']}"
        match = _CLOCK.match(written)
        if match and match[1] != "0000":
            year, month, day, *clock, digits = match.groups()
            digits = digits or str(tags.get(fraction or "", "")).strip()
            digits = digits if digits.isdigit() else ""
            hour, minute, second = (part or "00" for part in clock)
            return f"{year}-{month}-{day} {hour}:{minute}:{second}.{digits[:3].ljust(3, '0')}"
    return None


def _keywords(tags: Tags) -> list[str] | None:
    both = [*_list(tags.get("IPTC:Keywords")), *_list(tags.get("XMP-dc:Subject"))]
    windows = str(tags.get("IFD0:XPKeywords", "")).split(";")
    return distinct(both) or distinct(_list(tags.get("PNG:Keywords"))) or distinct(windows) or None


def _list(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [str(each) for each in values]


def _has_location(tags: Tags) -> bool:
    pairs = ("GPS:GPS{}", "XMP-exif:GPS{}", "Composite:GPS{}")
    return any(
        all(_is_degree(tags.get(pair.format(axis))) for axis in ("Latitude", "Longitude"))
        for pair in pairs
    )


def _is_degree(value: Any) -> bool:
    return isinstance(value, int | float)
