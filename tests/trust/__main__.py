"""`make trust`: the probe against the reference tools, on real files and on files made by them;
and the perceptual hash against copies of real photographs.

It needs tools that the suite does not: exiftool, ffmpeg, mediainfo, pdfinfo. Files are kept in
`.media-enricher/trust`, so that a second run fetches and makes nothing.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from rich.console import Console

from tests.corpora import KEPT
from tests.trust import av, damage, documents, likeness, pictures
from tests.trust.tools import ToolError

FOLDER = KEPT / "trust"


class _Measured(Protocol):
    """What a part measured."""

    def show(self, console: Console, /) -> None:
        """Print it."""

    def shortcomings(self) -> Iterator[str]:
        """What is not as good as needed."""


_PARTS: dict[str, Callable[[Path], Sequence[_Measured]]] = {
    "av": lambda folder: av.compare(folder / "av"),
    "pictures": lambda folder: pictures.compare(folder / "written", folder / "packages"),
    "likeness": lambda folder: likeness.compare(folder / "packages"),
    "damage": lambda folder: damage.compare(folder / "packages"),
    "documents": lambda folder: documents.compare(folder / "documents", folder / "packages"),
}
results = Console(width=None if sys.stdout.isatty() else 120)


def main() -> None:
    """Compare all, or the parts that are named; exit with 1 where it is not as good as needed."""
    parser = argparse.ArgumentParser(prog="make trust", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(_PARTS)}")
    chosen = parser.parse_args().parts or list(_PARTS)
    if unknown := sorted(set(chosen) - set(_PARTS)):
        parser.error(f"There is no part {', '.join(unknown)}. There are {', '.join(_PARTS)}.")
    logging.disable(logging.WARNING)  # of damaged files, which the tables tell about
    try:
        measured = [each for part in chosen for each in _PARTS[part](FOLDER)]
    except ToolError as error:
        sys.exit(str(error))
    for each in measured:
        each.show(results)
        results.print()
    shortcomings = [line for each in measured for line in each.shortcomings()]
    for line in shortcomings:
        results.print(line, style="bold red", highlight=False)
    sys.exit(1 if shortcomings else 0)


if __name__ == "__main__":
    main()
