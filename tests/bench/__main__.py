"""`make bench`: the flow, a bare loop and a plain script on the same files, side by side."""

from __future__ import annotations

import argparse
import platform
import sys
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console
from rich.table import Table

from media_enricher.models import Depth
from tests.bench import corpus
from tests.bench.contenders import CORES, Measured, Name, Round, measure
from tests.bench.stage import Stage
from tests.corpora import KEPT

PHOTOGRAPHS, SMALL = "bench-photographs", "bench-small"
NAMES: dict[Name, str] = {"flow": "(a) flow", "loop": "(b) loop", "script": "(c) script"}
LEGEND = """\
(a) the backfill flow with all it does, and a Prefect server on the same machine
(b) the same probe driven by a bare asyncio loop, nothing written
(c) httpx, and Pillow in a process pool; full decode
Paces are from the first plan or request to the last commit or result; start-up is what came before.
CPU seconds are per 1,000 images, start-up included, of the program and of the servers (the local
stack and Prefect). Memory is the peak of all the program's processes together, in MB: the sum of
their resident sets, and in brackets with what they share counted once. Not that of the servers."""

console = Console(stderr=True)
results = Console(width=None if sys.stdout.isatty() else 120)


class Size(msgspec.Struct, frozen=True):
    """How much is measured."""

    photographs: int = 2_000
    """So many that the start and the end of a run hardly count."""
    albums: int = 3
    """In header depth each photograph is read from so many albums, or all were done in a blink."""
    small: int = 50_000
    few: int = 5_000
    """So many of the small ones, to see whether the flow's memory grows with their number."""
    rounds: int = 3


Plan = dict[str, list[tuple[Name, Round]]]
"""By the name of each part, who runs on what."""

QUICK = Size(photographs=12, albums=2, small=200, few=100, rounds=1)


class Report(msgspec.Struct):
    """Every figure, and what was measured on."""

    machine: str
    cores: int
    size: Size
    runs: list[Measured]


def main() -> None:
    """Make the files, run everything in turns, print the medians."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few files, once: does it work?")
    parser.add_argument("--photographs", type=int, metavar="N", help="so many photographs")
    parser.add_argument("--albums", type=int, metavar="N", help="so many albums of them")
    parser.add_argument("--small", type=int, metavar="N", help="so many small images")
    parser.add_argument("--rounds", type=int, help="how often each runs; medians are shown")
    parser.add_argument("--only", nargs="+", choices=plan(Size()), help="these parts alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--folder", type=Path, default=KEPT / "bench", help=argparse.SUPPRESS)
    options = parser.parse_args()
    size = QUICK if options.quick else Size()
    given = {name: getattr(options, name) for name in ("photographs", "albums", "small", "rounds")}
    size = msgspec.structs.replace(
        size, **{name: number for name, number in given.items() if number is not None}
    )

    parts = {
        name: part for name, part in plan(size).items() if name in (options.only or plan(size))
    }
    runs = play(options.folder, size, parts)
    results.print(table(runs))
    for line in ratios(runs):
        results.print(line, highlight=False)
    results.print(LEGEND, style="dim", highlight=False, soft_wrap=True)
    if options.json:
        report = Report(platform.processor() or platform.machine(), CORES, size, runs)
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))


def play(folder: Path, size: Size, parts: Plan) -> list[Measured]:
    """Run all contenders in turns, so that a noisy minute strikes them alike."""
    wanted = [run for part in parts.values() for run in part]
    buckets = {each.bucket for _, each in wanted}
    files = {}
    with console.status("making the files (once; kept for the next time)"):
        if PHOTOGRAPHS in buckets:
            files[PHOTOGRAPHS] = corpus.photographs(folder / "photographs", size.photographs)
        if SMALL in buckets:
            files[SMALL] = corpus.small_images(folder / "small", size.small)
    with Stage.set(folder) as stage:
        with console.status("uploading (once)"):
            for bucket, paths in files.items():
                stage.upload(bucket, paths)
            if PHOTOGRAPHS in buckets:
                stage.copy_to_albums(PHOTOGRAPHS, files[PHOTOGRAPHS], size.albums)
        runs = []
        for number in range(size.rounds):
            for name, each in wanted:
                with console.status(f"round {number + 1}: {name}, {each.bucket}, {each.depth}"):
                    runs.append(measure(stage, name, each))
        return runs


def plan(size: Size) -> Plan:
    """One round, part by part."""
    photographs = Round(bucket=PHOTOGRAPHS, objects=size.photographs, depth=Depth.FULL)
    albums = Round(bucket=PHOTOGRAPHS, objects=size.photographs * size.albums, depth=Depth.HEADER)
    small = Round(bucket=SMALL, objects=size.small, depth=Depth.FULL)
    small_headers = msgspec.structs.replace(small, depth=Depth.HEADER)
    few = msgspec.structs.replace(small, objects=size.few)
    few_headers = msgspec.structs.replace(few, depth=Depth.HEADER)
    return {
        "photographs": [("flow", photographs), ("loop", photographs), ("script", photographs)],
        "photographs-header": [("flow", albums), ("loop", albums)],
        "small": [("flow", small), ("loop", small), ("script", small)],
        "small-header": [("flow", small_headers), ("loop", small_headers)],
        "few": [("flow", few), ("flow", few_headers)],
    }


def table(runs: list[Measured]) -> Table:
    """Medians of each contender on each set of files."""
    shown = Table(
        title=f"Medians, {CORES} cores", title_justify="left", header_style="dim", box=None
    )
    for column in ("files", "depth", "who"):
        shown.add_column(column, no_wrap=True)
    for column in ("images/s", "CPU s", "servers", "start-up", "memory"):
        shown.add_column(column, justify="right", no_wrap=True)
    for (each, name), measured in grouped(runs).items():
        per_thousand = 1000 / each.objects
        servers = [run.prefect_cpu_seconds + run.stack_cpu_seconds for run in measured]
        shown.add_row(
            _files(each),
            each.depth,
            NAMES[name],
            f"{median(run.images_per_second for run in measured):,.0f}",
            f"{median(run.cpu_seconds for run in measured) * per_thousand:,.2f}",
            f"{median(servers) * per_thousand:,.2f}",
            f"{median(run.start_up_seconds for run in measured):.1f} s",
            f"{median(run.peak_rss_mb for run in measured):,.0f} "
            f"({median(run.peak_pss_mb for run in measured):,.0f})",
        )
    return shown


def ratios(runs: list[Measured]) -> list[str]:
    """How the flow compares: its pace over the loop's and over the script's, round by round.

    The script decodes everything, whatever the flow was asked for, so it stands for both depths.
    """
    measured = grouped(runs)
    lines = []
    for (each, name), flow in measured.items():
        if name != "flow":
            continue
        in_full = msgspec.structs.replace(each, depth=Depth.FULL)
        against: list[tuple[Round, Name]] = [(each, "loop"), (in_full, "script")]
        for key in against:
            if others := measured.get(key):
                ratio = median(
                    a.images_per_second / b.images_per_second
                    for a, b in zip(flow, others, strict=True)
                )
                lines.append(f"{_files(each)}, {each.depth}: flow / {key[1]} = {ratio:.2f}")
    return lines


def _files(each: Round) -> str:
    return f"{each.objects:,} {each.bucket.removeprefix('bench-')}"


def grouped(runs: list[Measured]) -> dict[tuple[Round, Name], list[Measured]]:
    """The runs by what was read and by whom, in the order of the first round."""
    groups: dict[tuple[Round, Name], list[Measured]] = {}
    for run in runs:
        groups.setdefault((run.round, run.contender), []).append(run)
    return groups


if __name__ == "__main__":
    main()
