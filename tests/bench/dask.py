"""`make bench-dask`: the flow by threads, over one Dask worker process, and over one per core."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console
from rich.table import Table

from media_enricher.models import Depth
from tests.bench import corpus
from tests.bench.contenders import CORES, Measured, Round, measure
from tests.bench.stage import Stage
from tests.corpora import KEPT
from tests.dask_cluster import dask_cluster

LEGEND = f"""\
All on one machine of {CORES} cores, which the local stack and a Prefect server share. Dask's
scheduler and workers run before the flow does; each worker process has one engine worker. From
the first plan to the last commit."""

console = Console(stderr=True)


class Timed(msgspec.Struct):
    """One run.

    Attributes:
        workers: Dask's worker processes; 0 for threads.
        measured: what it took.
    """

    workers: int
    measured: Measured


def main() -> None:
    """Make the files, run each in turns, print the medians."""
    parser = argparse.ArgumentParser(prog="make bench-dask", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few files, once: does it work?")
    parser.add_argument("--rounds", type=int, default=3, help="how often each; medians are shown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--folder", type=Path, default=KEPT / "bench", help=argparse.SUPPRESS)
    options = parser.parse_args()
    photographs, small, rounds = (24, 400, 1) if options.quick else (600, 10_000, options.rounds)
    timed = play(options.folder, photographs, small, rounds)
    Console().print(table(timed))
    Console().print(LEGEND, style="dim", highlight=False, soft_wrap=True)
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(timed)))


def play(folder: Path, photographs: int, small: int, rounds: int) -> list[Timed]:
    """Run all in turns, so that a noisy minute strikes them alike."""
    sets = [
        Round(bucket="bench-photographs", objects=photographs, depth=Depth.FULL),
        Round(bucket="bench-small", objects=small, depth=Depth.FULL),
    ]
    with console.status("making the files (once; kept for the next time)"):
        files = {
            "bench-photographs": corpus.photographs(folder / "photographs", photographs),
            "bench-small": corpus.small_images(folder / "small", small),
        }
    with Stage.set(folder) as stage:
        with console.status("uploading (once)"):
            for name, paths in files.items():
                stage.upload(name, paths)
        timed = []
        for number in range(rounds):
            for each in sets:
                for workers in sorted({0, 1, CORES}):
                    what = f"round {number + 1}: {each.bucket}, {workers or 'no'} workers"
                    with console.status(what), _runner(stage, workers) as settings:
                        # Once before, for a cluster has imported long ago what it runs.
                        measure(stage, "flow", msgspec.structs.replace(each, objects=8), settings)
                        timed.append(Timed(workers, measure(stage, "flow", each, settings)))
        return timed


@contextmanager
def _runner(stage: Stage, workers: int) -> Iterator[dict[str, str]]:
    """The settings of a flow over so many workers, which are there meanwhile."""
    if not workers:
        yield {"MEDIA_ENRICHER_TASK_RUNNER": "threads"}
        return
    engine_workers = {"MEDIA_ENRICHER_ENGINE_WORKERS": str(workers)}
    with (
        tempfile.TemporaryDirectory() as folder,
        dask_cluster(stage.stack.environment() | engine_workers, workers, Path(folder)) as cluster,
    ):
        yield engine_workers | {
            "MEDIA_ENRICHER_TASK_RUNNER": "dask",
            "MEDIA_ENRICHER_DASK_ADDRESS": cluster.address,
        }


def table(timed: list[Timed]) -> Table:
    """Medians, and what each is over one worker."""
    paces: dict[tuple[str, int], list[float]] = {}
    for run in timed:
        key = (f"{run.measured.round.objects:,} {run.measured.round.bucket}", run.workers)
        paces.setdefault(key, []).append(run.measured.images_per_second)
    shown = Table(title="Medians", title_justify="left", header_style="dim", box=None)
    for column in ("files", "runner", "images/s", "over one worker"):
        shown.add_column(column, no_wrap=True)
    for (files, workers), measured in paces.items():
        runner = f"dask, {workers} processes" if workers else "threads"
        ratio = median(measured) / median(paces[files, 1])
        shown.add_row(files, runner, f"{median(measured):,.0f}", f"{ratio:.2f}")
    return shown


if __name__ == "__main__":
    main()
