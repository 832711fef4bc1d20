"""PDFs made by Pillow and Ghostscript for `make trust`: sizes, rotations, texts, passwords."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from tests.trust.tools import output

_SIZES = ((612, 792), (595, 842), (300, 200), (1000, 40), (72, 72))
_TEXTS = (
    ("A report", "A. Author"),
    ("Häuser & Straßen", "Zoë Ångström"),
    ("報告書", "著者"),
    ("Parentheses (nested) \\ and a backslash", "O'Neill; Smith"),
)
_PASSWORDS = {
    "user": ("-sUserPassword=secret", "-sOwnerPassword=other"),
    "owner": ("-sOwnerPassword=other",),
    "aes": ("-sUserPassword=secret", "-sOwnerPassword=other", "-dEncryptionR=3", "-dKeyLength=128"),
    "free": (),
}
"""A file that only its owner has a password for is read without one."""


def make(folder: Path) -> list[Path]:
    """Make all files, unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    return [*_by_pillow(folder), *_by_ghostscript(folder)]


def _by_pillow(folder: Path) -> Iterator[Path]:
    for number, size in enumerate(_SIZES):
        for index, (title, author) in enumerate(_TEXTS):
            path = folder / f"pillow-{number}-{index}.pdf"
            if not path.exists():
                first, *others = (Image.new("RGB", size, (90 * each, 80, 70)) for each in range(3))
                first.save(
                    path, save_all=True, append_images=others[:index], title=title, author=author
                )
            yield path


def _by_ghostscript(folder: Path) -> Iterator[Path]:
    for name, passwords in _PASSWORDS.items():
        for turned in (0, 90, 180, 270):
            path = folder / f"ghostscript-{name}-{turned}.pdf"
            if not path.exists():
                source = path.with_suffix(".ps")
                source.write_text(_PAGES.format(turned=turned), encoding="ascii")
                output(["ps2pdf", "-dAutoRotatePages=/None", *passwords, source, path])
                source.unlink()
            yield path


_PAGES = """%!PS
[ /Title (Turned by {turned}) /Author (Ghost & Script) /DOCINFO pdfmark
[ {{ThisPage}} << /Rotate {turned} >> /PUT pdfmark
<< /PageSize [420 595] >> setpagedevice
/Helvetica findfont 24 scalefont setfont 50 500 moveto (One) show showpage
<< /PageSize [300 300] >> setpagedevice
50 100 moveto (Two) show showpage
"""
