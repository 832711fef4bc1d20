"""`make bench-memory`: whether the flow's memory grows with the number of objects, in header depth.

The bucket has 1,000 small images, and as many rows as are asked for that name their bytes again:
Storage keeps bytes by version, so a million objects take no more room than a thousand.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from media_enricher.models import Depth
from tests.bench import corpus
from tests.bench.contenders import CORES, Measured, Round, measure
from tests.bench.stage import Stage
from tests.corpora import KEPT

BUCKET = "bench-memory"
ORIGINALS = 1_000
SIZES = (10_000, 100_000)
LEGEND = """\
The flow in header depth. Memory is the peak of all its processes together, in MB: the sum of their
resident sets, and in brackets with what they share counted once."""
# Named so that they sort after the originals, of which the folders are numbers of three digits.
_COPY = """
    insert into storage.objects (bucket_id, name, metadata, version)
    select bucket_id, 'copy-' || to_char(copy, 'FM000000') || '/' || name, metadata, version
    from storage.objects cross join generate_series($2::int, $3::int) as copy
    where bucket_id = $1 and name not like 'copy-%'
"""

console = Console(stderr=True)


def main() -> None:
    """Grow the bucket from size to size, and enrich all of it at each."""
    parser = argparse.ArgumentParser(prog="make bench-memory", description=__doc__)
    parser.add_argument("--objects", type=int, nargs="+", default=SIZES, help="in the bucket")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--folder", type=Path, default=KEPT / "bench", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if wrong := [objects for objects in options.objects if objects < 1]:
        parser.error(f"--objects: {wrong[0]} is not a number of objects; use 1 or more")

    runs = play(options.folder, sorted(options.objects))
    results = Console()
    results.print(table(runs))
    results.print(LEGEND, style="dim", highlight=False, soft_wrap=True)
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(runs)))


def play(folder: Path, sizes: list[int]) -> list[Measured]:
    """Run the flow once at each size."""
    with console.status("making the files (once; kept for the next time)"):
        originals = corpus.small_images(folder / "small", ORIGINALS)
    runs = []
    with Stage.set(folder) as stage:
        stage.upload(BUCKET, originals)
        for objects in sizes:
            grow(stage, objects)
            with console.status(f"{objects:,} objects"):
                each = Round(bucket=BUCKET, objects=objects, depth=Depth.HEADER)
                runs.append(measure(stage, "flow", each))
            console.print(f"{objects:,} objects: {runs[-1].peak_rss_mb:,.0f} MB", highlight=False)
    return runs


def grow(stage: Stage, objects: int) -> None:
    """Add rows until the bucket has so many objects at least."""
    (found,) = stage.query(
        "select count(*) as objects from storage.objects where bucket_id = $1", BUCKET
    )
    copies, wanted = found["objects"] // ORIGINALS - 1, -(-objects // ORIGINALS) - 1
    if copies < wanted:
        stage.query(_COPY, BUCKET, copies + 1, wanted)


def table(runs: list[Measured]) -> Table:
    """Memory by size, and how much that is over the first."""
    shown = Table(
        title=f"One run, {CORES} cores", title_justify="left", header_style="dim", box=None
    )
    for column in ("objects", "objects/s", "memory", "over the first"):
        shown.add_column(column, justify="right", no_wrap=True)
    for run in runs:
        shown.add_row(
            f"{run.round.objects:,}",
            f"{run.images_per_second:,.0f}",
            f"{run.peak_rss_mb:,.0f} ({run.peak_pss_mb:,.0f})",
            f"{run.peak_rss_mb / runs[0].peak_rss_mb:.2f}",
        )
    return shown


if __name__ == "__main__":
    main()
