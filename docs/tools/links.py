"""`python -m docs.tools.links`: check that every link between the pages leads somewhere.

Links to other hosts are not followed. No server is needed.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from docs.tools.markdown import broken, links

ROOT = Path(__file__).parents[2]

# What is made or installed in a checkout, and is no part of the project.
_NOT_OURS = re.compile(r"\.(?!github$|ci$).*|node_modules|build|dist|.*\.egg-info")
_SOURCES = {".py", ".sql", ".toml", ".yaml", ".yml", ".js", ".html", ".example"}
_PAGE_NAME = re.compile(r"\bdocs/[\w./-]+\.md\b")


def pages(root: Path = ROOT) -> list[Path]:
    """All pages of the project."""
    return [file for file in _files(root) if file.suffix == ".md"]


def problems(root: Path = ROOT) -> Iterator[str]:
    """What is wrong with the links, one sentence each."""
    for page in pages(root):
        yield from (wrong for link in links(page) if (wrong := broken(link)))
    yield from _unknown_names(root)
    yield from _unlinked_pages(root)


def _unknown_names(root: Path) -> Iterator[str]:
    """Pages that comments or messages of the code name, and that do not exist."""
    for file in _files(root):
        if file.suffix in _SOURCES:
            for name in sorted(set(_PAGE_NAME.findall(file.read_text(encoding="utf-8")))):
                if not (root / name).exists():
                    yield f"{file}: there is no page {name}"


def _unlinked_pages(root: Path) -> Iterator[str]:
    """Pages of docs/ that no reader finds: the README, or the list of decisions, leads to each."""
    for page in pages(root / "docs"):
        is_record = page.parent.name == "decisions" and page.name != "README.md"
        index = page.parent / "README.md" if is_record else root / "README.md"
        if page not in {link.file for link in links(index)}:
            yield f"{index}: no link leads to {page.relative_to(root)}"


def _files(root: Path) -> list[Path]:
    """The files of a checkout, without what was made or installed there."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not _NOT_OURS.fullmatch(name)]
        found += [Path(folder) / name for name in names]
    return sorted(found)


def main() -> int:
    """Print what is wrong; end with 1 if anything is."""
    wrong = list(problems())
    for sentence in wrong:
        sys.stderr.write(f"{sentence}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
