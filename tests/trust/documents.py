"""PDFs: the probe against pdfinfo (Poppler)."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from media_enricher.probe.metadata.texts import clean
from tests.probe.samples import full
from tests.trust import made_documents, packages
from tests.trust.comparison import Comparison, Disagreement, Rule
from tests.trust.tools import need

LEAST = 100
TOLERANCE_POINTS = 0.05
_NEEDED = {
    "is_encrypted": 100.0, "page_count": 100.0, "page_size": 100.0, "title": 99.5, "creator": 99.5,
}  # fmt: skip


def compare(folder: Path, fetched: Path) -> list[Comparison]:
    """Make and fetch the files, and hold the probe against pdfinfo.

    Raises:
        ToolError: a tool is missing, or a package can't be fetched.
    """
    need("pdfinfo", "ps2pdf")
    comparison = Comparison("pdfinfo", _NEEDED, _RULES, least=LEAST)
    for path in (*made_documents.make(folder), *packages.documents(fetched)):
        comparison.files += 1
        ours, theirs = _probed(path), _by_pdfinfo(path)
        for field in _NEEDED:
            mine, yours = ours[field], theirs[field]
            kind = path.name.partition("-")[0] if path.parent == folder else "found"
            difference = Disagreement(path.name, kind, field, mine, yours, "pdfinfo", ours | theirs)
            comparison.add(difference, same=_is_same(mine, yours))
    return [comparison]


def _is_same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, tuple) and isinstance(theirs, tuple):
        pairs = zip(ours, theirs, strict=True)
        return all(abs(mine - yours) <= TOLERANCE_POINTS for mine, yours in pairs)
    return bool(ours == theirs)


def _probed(path: Path) -> dict[str, Any]:
    found = full(path.read_bytes(), path.name)
    width, height = found.page_width_points, found.page_height_points
    return {
        "status": found.status,
        "is_encrypted": found.is_encrypted,
        "page_count": found.page_count,
        "page_size": (width, height) if width and height else None,
        "title": found.title,
        "creator": found.creator,
    }


def _by_pdfinfo(path: Path) -> dict[str, Any]:
    command: list[str | Path] = ["pdfinfo", "-enc", "UTF-8", path]
    done = subprocess.run(command, capture_output=True, check=False)
    fields: dict[str, str] = {}
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name, value.strip())
    complaints = done.stderr.decode("utf-8", "replace")
    return {
        "complaints": complaints,
        "is_encrypted": "Incorrect password" in complaints,
        "page_count": int(fields["Pages"]) if fields.get("Pages") else None,
        "page_size": _size(fields),
        "title": clean(fields.get("Title", ""), 500),
        "creator": clean(fields.get("Author", ""), 500),
    }


def _size(fields: dict[str, str]) -> tuple[float, float] | None:
    """Of the first page, as displayed."""
    size = re.match(r"([\d.e+]+) x ([\d.e+]+) pts", fields.get("Page size", ""))
    if size is None:
        return None
    width, height = float(size[1]), float(size[2])
    is_turned = int(fields.get("Page rot", 0)) % 180 == 90
    return (height, width) if is_turned else (width, height)


def _has_empty_owner_password(each: Disagreement) -> bool:
    return bool(re.search(r"/r[56]-user-password\.pdf$", f"/{each.file}"))


def _differs_by_unknown_bytes(each: Disagreement) -> bool:
    return bool(str(each.theirs).replace("\ufffd", "") == each.ours)


_RULES = (
    Rule(
        "is_encrypted page_count page_size title creator",
        "Both: the owner's password is empty, which Poppler tries and PDFium does not. The probe "
        "says what a reader of PDFium (Chrome) meets: it asks for a password",
        _has_empty_owner_password,
    ),
    Rule(
        "title creator",
        "A byte that PDFDocEncoding leaves undefined is left out; pdfinfo puts U+FFFD",
        _differs_by_unknown_bytes,
    ),
)
