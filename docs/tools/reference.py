"""`python -m docs.tools.reference [--check]`: write docs/reference/, or say where it is outdated.

Each page is made of the code, by a module of `docs.tools.pages`. No server is needed.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from pathlib import Path

from docs.tools.pages import cli, error_codes, http_api, metadata_fields, settings, tables

FOLDER = Path(__file__).parents[1] / "reference"
PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings.page,
    "cli.md": cli.page,
    "http-api.md": http_api.page,
    "tables.md": tables.page,
    "metadata-fields.md": metadata_fields.page,
    "error-codes.md": error_codes.page,
}
NOTE = "<!-- Written by `make docs`: edit the code, or the template in docs/tools/pages/. -->\n\n"


def write(folder: Path = FOLDER) -> None:
    """Write all pages."""
    for name, page in PAGES.items():
        (folder / name).write_text(NOTE + page(), encoding="utf-8")


def differences(folder: Path = FOLDER) -> str:
    """How the pages of a folder differ from the code, as a unified diff; empty if they do not."""
    diff: list[str] = []
    for name, page in PAGES.items():
        file = folder / name
        is_now = file.read_text(encoding="utf-8") if file.exists() else ""
        diff += difflib.unified_diff(
            is_now.splitlines(keepends=True),
            (NOTE + page()).splitlines(keepends=True),
            f"docs/reference/{name}",
            f"docs/reference/{name}, by the code",
        )
    return "".join(diff)


def main(arguments: list[str]) -> int:
    """Write the pages; with `--check`, only compare them, and end with 1 if one differs."""
    if arguments == ["--check"]:
        if outdated := differences():
            sys.stderr.write(f"{outdated}\nThe reference pages are outdated. Run make docs.\n")
        return 1 if outdated else 0
    if arguments:
        sys.stderr.write(f"There is no argument {arguments[0]!r}. Give --check, or none.\n")
        return 2
    write()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
