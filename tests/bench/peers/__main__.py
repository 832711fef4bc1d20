"""`make bench-peers`: the flow, img2dataset and Daft on the same photographs, in turns."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console
from rich.table import Table

from media_enricher.models import Depth
from tests.bench import corpus
from tests.bench.contenders import CORES, Measured, Name, Round, measure
from tests.bench.peers import environment
from tests.bench.peers.peer import Peer, measure_peer
from tests.bench.stage import Stage
from tests.corpora import KEPT

PEERS: tuple[Peer, ...] = ("img2dataset", "daft")
NAMES: dict[Name, str] = {"flow": "Media Enricher", "img2dataset": "img2dataset", "daft": "Daft"}
LEGEND = """\
The flow does all that full depth does, and writes rows. img2dataset and Daft read signed URLs,
decode, make a thumbnail of 64 pixels, and write it with size and hash to Parquet: img2dataset with
SHA-256 and EXIF, Daft with its own hash. Start-up is not in images/s: the import of each, and the
start of img2dataset's processes. Lost are images that it could not decode; images/s counts them.
CPU seconds are per 1,000 images, start-up included, of the program and of the servers. Memory is
the peak of all the program's processes together, in MB."""

console = Console(stderr=True)


class Size(msgspec.Struct, frozen=True):
    """How much is measured."""

    photographs: int = 600
    rounds: int = 3


QUICK = Size(photographs=24, rounds=1)


class Report(msgspec.Struct):
    """Every figure, and what was measured on."""

    machine: str
    cores: int
    size: Size
    runs: list[Measured]


def main() -> None:
    """Install the peers, make the files, run everything in turns, print the medians."""
    parser = argparse.ArgumentParser(prog="make bench-peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few files, once: does it work?")
    parser.add_argument("--rounds", type=int, help="how often each runs; medians are shown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--folder", type=Path, default=KEPT / "bench", help=argparse.SUPPRESS)
    options = parser.parse_args()
    size = QUICK if options.quick else Size()
    if options.rounds:
        size = msgspec.structs.replace(size, rounds=options.rounds)

    runs = play(options.folder, size)
    results = Console()
    results.print(table(runs))
    for line in ratios(runs):
        results.print(line, highlight=False)
    results.print(LEGEND, style="dim", highlight=False, soft_wrap=True)
    if options.json:
        report = Report(platform.processor() or platform.machine(), CORES, size, runs)
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))


def play(folder: Path, size: Size) -> list[Measured]:
    """Run all in turns, so that a noisy minute strikes them alike."""
    with console.status("installing img2dataset and Daft (once)"):
        python = environment.prepare(folder / "peers")
    with console.status("making the files (once; kept for the next time)"):
        photographs = corpus.photographs(folder / "photographs", size.photographs)
    each = Round(bucket="bench-photographs", objects=size.photographs, depth=Depth.FULL)
    with Stage.set(folder) as stage:
        with console.status("uploading (once)"):
            stage.upload(each.bucket, photographs)
        contenders: dict[Name, Callable[[], Measured]] = {
            "flow": partial(measure, stage, "flow", each)
        }
        contenders |= {peer: partial(measure_peer, stage, peer, python, each) for peer in PEERS}
        runs = []
        for number in range(size.rounds):
            for name, run in contenders.items():
                with console.status(f"round {number + 1}: {NAMES[name]}"):
                    runs.append(run())
                pace = runs[-1].images_per_second
                console.print(f"{NAMES[name]}: {pace:,.1f}/s", highlight=False)
        return runs


def table(runs: list[Measured]) -> Table:
    """Medians of each."""
    objects = runs[0].round.objects
    shown = Table(
        title=f"Medians, {objects:,} photographs, {CORES} cores",
        title_justify="left",
        header_style="dim",
        box=None,
    )
    shown.add_column("who", no_wrap=True)
    for column in ("images/s", "lost", "CPU s", "servers", "start-up", "memory"):
        shown.add_column(column, justify="right", no_wrap=True)
    for name, measured in _by_name(runs).items():
        servers = [run.prefect_cpu_seconds + run.stack_cpu_seconds for run in measured]
        shown.add_row(
            f"{NAMES[name]} {measured[0].version}".rstrip(),
            f"{median(run.images_per_second for run in measured):,.0f}",
            f"{max(run.lost for run in measured):,}",
            f"{median(run.cpu_seconds for run in measured) * 1000 / objects:,.1f}",
            f"{median(servers) * 1000 / objects:,.1f}",
            f"{median(run.start_up_seconds for run in measured):.1f} s",
            f"{median(run.peak_rss_mb for run in measured):,.0f}",
        )
    return shown


def ratios(runs: list[Measured]) -> list[str]:
    """How many times as fast the flow was as each peer, round by round."""
    measured = _by_name(runs)
    lines = []
    for peer in PEERS:
        each = [
            flow.images_per_second / other.images_per_second
            for flow, other in zip(measured["flow"], measured[peer], strict=True)
        ]
        lines.append(
            f"flow / {NAMES[peer]} = {median(each):.2f} ({min(each):.2f} to {max(each):.2f})"
        )
    return lines


def _by_name(runs: list[Measured]) -> dict[Name, list[Measured]]:
    groups: dict[Name, list[Measured]] = {}
    for run in runs:
        groups.setdefault(run.contender, []).append(run)
    return groups


if __name__ == "__main__":
    main()
