"""`make bench-far`: the flow with Supabase as far away as a region, a continent, or the other side.

All traffic to Supabase goes through a proxy that delays it (`tests.bench.delaying_proxy`), at a
round trip of 0, too, so that what the proxy itself costs is in every figure.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from bisect import bisect
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console
from rich.table import Table

from media_enricher.models import Depth
from tests.bench import corpus
from tests.bench.contenders import CORES, Measured, Round, measure
from tests.bench.delaying_proxy import Distance, Passed, delayed
from tests.bench.round_trips import Requests, kind, logged, one_after_the_other
from tests.bench.stage import Stage
from tests.corpora import KEPT
from tests.dask_cluster import dask_cluster

SMALL, PHOTOGRAPHS = "bench-small", "bench-photographs"
ROUND_TRIPS_MS = (0, 20, 80, 200)
DASK_ROUND_TRIP_MS = 80
DASK_DOWNLOADS = 48
"""Of each worker: so few that the round trip limits it, and not this machine's processors."""
FIXED_DOWNLOADS = (16, 32, 48)
"""With `--most-downloads`, these fixed maxima for each engine worker are measured, too."""
DOWNLOADS_SETTING = "MEDIA_ENRICHER_DOWNLOADS_PER_ENGINE_WORKER"
SAMPLED_SECONDS = 0.5
LEGEND = f"""\
One machine of {CORES} cores, with the local stack behind a proxy and a Prefect server. From the
first plan to the last commit. CPU seconds are the flow's own, per 1,000 objects."""

console = Console(stderr=True)


class Size(msgspec.Struct, frozen=True):
    """How much is measured."""

    headers: int = 50_000
    small: int = 10_000
    photographs: int = 600
    """Of 300, which take 3 to 4 s, start and end were half of what a far Supabase costs."""
    rounds: int = 3


QUICK = Size(headers=200, small=100, photographs=12, rounds=1)


class Timed(msgspec.Struct, kw_only=True):
    """One run.

    Attributes:
        rtt_ms: a round trip to Supabase.
        variant: what else was different; empty for the settings' defaults.
        measured: what it took.
    """

    rtt_ms: int
    variant: str = ""
    measured: Measured


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What is run once a round.

    Attributes:
        each: the objects, and how they are read.
        distance: how far away Supabase is.
        rtt_ms: the same, as it is shown.
        variant: what else is different.
        settings: environment variables for the flow.
        dask_workers: Dask's worker processes; 0 for threads.
    """

    each: Round
    distance: Distance
    rtt_ms: int
    variant: str = ""
    settings: Mapping[str, str] = {}
    dask_workers: int = 0


def main() -> None:
    """Make the files, run each in turns, print the medians."""
    parser = argparse.ArgumentParser(prog="make bench-far", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few files, once: does it work?")
    parser.add_argument("--rounds", type=int, help="how often each runs; medians are shown")
    parser.add_argument("--only", nargs="+", choices=["header", "small", "photographs"])
    parser.add_argument("--rtt", type=int, nargs="+", default=ROUND_TRIPS_MS, metavar="MS")
    parser.add_argument("--tls-round-trips", type=int, default=1, help="of a connection's set-up")
    parser.add_argument("--mbit", type=float, help="bandwidth of each direction, per second")
    parser.add_argument(
        "--most-downloads",
        type=int,
        metavar="N",
        help="further ones at once are answered 429 and 544; fixed numbers of downloads run beside",
    )
    parser.add_argument("--dask", action="store_true", help="one and two Dask workers instead")
    parser.add_argument(
        "--timeline", action="store_true", help="say when the first and last objects were read"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--folder", type=Path, default=KEPT / "bench", help=argparse.SUPPRESS)
    options = parser.parse_args()
    size = QUICK if options.quick else Size()
    if options.rounds:
        size = msgspec.structs.replace(size, rounds=options.rounds)
    timed = play(options.folder, trials(size, options), size, is_logged=options.timeline)
    Console().print(table(timed))
    Console().print(LEGEND, style="dim", highlight=False, soft_wrap=True)
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(timed)))


def trials(size: Size, options: argparse.Namespace) -> list[Trial]:
    """What one round consists of."""
    sets = {
        "header": Round(bucket=SMALL, objects=size.headers, depth=Depth.HEADER),
        "small": Round(bucket=SMALL, objects=size.small, depth=Depth.FULL),
        "photographs": Round(bucket=PHOTOGRAPHS, objects=size.photographs, depth=Depth.FULL),
    }

    def distance(rtt_ms: int) -> Distance:
        return Distance(
            rtt_seconds=rtt_ms / 1000,
            tls_round_trips=options.tls_round_trips,
            bytes_per_second=options.mbit and options.mbit * 1e6 / 8,
            most_downloads=options.most_downloads,
        )

    if options.dask:
        far, rtt_ms = distance(DASK_ROUND_TRIP_MS), DASK_ROUND_TRIP_MS
        return [
            Trial(
                each=sets["header"],
                distance=far,
                rtt_ms=rtt_ms,
                variant=f"dask, {workers} workers",
                settings={DOWNLOADS_SETTING: str(DASK_DOWNLOADS)},
                dask_workers=workers,
            )
            for workers in (1, 2)
        ]
    variants = {"": dict[str, str]()}
    if options.most_downloads:
        variants |= {f"most {most}": {DOWNLOADS_SETTING: str(most)} for most in FIXED_DOWNLOADS}
    return [
        Trial(
            each=sets[name],
            distance=distance(rtt_ms),
            rtt_ms=rtt_ms,
            variant=variant,
            settings=settings,
        )
        for name in options.only or sets
        for rtt_ms in options.rtt
        for variant, settings in variants.items()
    ]


def play(folder: Path, wanted: list[Trial], size: Size, *, is_logged: bool = False) -> list[Timed]:
    """Run all in turns, so that a noisy minute strikes them alike."""
    buckets = {trial.each.bucket for trial in wanted}
    files = {}
    with console.status("making the files (once; kept for the next time)"):
        if PHOTOGRAPHS in buckets:
            files[PHOTOGRAPHS] = corpus.photographs(folder / "photographs", size.photographs)
        if SMALL in buckets:
            most = max(size.headers, size.small)
            files[SMALL] = corpus.small_images(folder / "small", most)
    with Stage.set(folder) as stage, ExitStack() as stack:
        with console.status("uploading (once)"):
            for bucket, paths in files.items():
                stage.upload(bucket, paths)
        timed = []
        for number in range(size.rounds):
            for trial in wanted:
                each = trial.each
                what = f"{each.bucket}, {each.depth}, {trial.rtt_ms} ms {trial.variant}"
                log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "requests.jsonl"
                with console.status(f"round {number + 1}: {what}"):
                    measured = run(stage, trial, log if is_logged else None)
                console.print(f"{what}: {measured.images_per_second:,.0f}/s", highlight=False)
                if is_logged:
                    console.print(timeline(logged(log)), highlight=False)
                timed.append(Timed(rtt_ms=trial.rtt_ms, variant=trial.variant, measured=measured))
        return timed


def run(stage: Stage, trial: Trial, log: Path | None = None) -> Measured:
    """Run one, with Supabase at its distance."""
    distance = msgspec.structs.replace(trial.distance, log=log and str(log))
    with (
        delayed(stage.stack.url, distance) as url,
        _runner(stage, trial, {"SUPABASE_URL": url}) as settings,
    ):
        return measure(stage, "flow", trial.each, {**settings, **trial.settings})


@contextmanager
def _runner(stage: Stage, trial: Trial, far: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The settings of a flow over so many Dask workers, which are there meanwhile."""
    if not trial.dask_workers:
        yield dict(far)
        return
    workers = {"MEDIA_ENRICHER_ENGINE_WORKERS": str(trial.dask_workers)}
    environment = {**stage.stack.environment(), **far, **workers, **trial.settings}
    with (
        tempfile.TemporaryDirectory() as folder,
        dask_cluster(environment, trial.dask_workers, Path(folder)) as cluster,
    ):
        settings = {
            **far,
            **workers,
            "MEDIA_ENRICHER_TASK_RUNNER": "dask",
            "MEDIA_ENRICHER_DASK_ADDRESS": cluster.address,
        }
        # Once before, for a cluster has imported long ago what it runs.
        measure(stage, "flow", msgspec.structs.replace(trial.each, objects=8), settings)
        yield settings


def timeline(requests: Requests) -> str:
    """When the first and the last object were read, and what was waited for before and after."""
    parts = {"start": requests.start, "reading": requests.reading, "end": requests.end}
    lines = []
    for name, part in parts.items():
        seconds = max(each.ended for each in part) - min(each.began for each in part)
        waited_for = [each for each in one_after_the_other(part) if not each.is_download]
        steps = ", ".join(f"{kind(each)} {each.ended - each.began:.2f}" for each in waited_for)
        lines.append(f"  {name} {seconds:.2f} s: {steps}")
    at_once = " ".join(str(count) for count in downloads_at_once(requests.reading))
    return "\n".join([*lines, f"  downloads at once, every {SAMPLED_SECONDS} s: {at_once}"])


def downloads_at_once(requests: list[Passed]) -> list[int]:
    """How many downloads were under way, at regular times from the first one on."""
    reads = [each for each in requests if each.is_download]
    began, ended = sorted(each.began for each in reads), sorted(each.ended for each in reads)
    times = [
        began[0] + number * SAMPLED_SECONDS
        for number in range(1, math.ceil((ended[-1] - began[0]) / SAMPLED_SECONDS))
    ]
    return [bisect(began, time) - bisect(ended, time) for time in times]


def table(timed: list[Timed]) -> Table:
    """Medians, and what each is over the first of the same files."""
    groups: dict[tuple[Round, int, str], list[Measured]] = {}
    for each in timed:
        key = (each.measured.round, each.rtt_ms, each.variant)
        groups.setdefault(key, []).append(each.measured)
    shown = Table(title="Medians", title_justify="left", header_style="dim", box=None)
    for column in ("files", "depth", "round trip", "", "objects/s", "over the first", "CPU s"):
        shown.add_column(column, no_wrap=True)
    first: dict[Round, float] = {}
    for (files, rtt_ms, variant), measured in groups.items():
        pace = median(run.images_per_second for run in measured)
        ratio = pace / first.setdefault(files, pace)
        cpu = median(run.cpu_seconds for run in measured) * 1000 / files.objects
        name = f"{files.objects:,} {files.bucket.removeprefix('bench-')}"
        shown.add_row(
            *(name, files.depth, f"{rtt_ms} ms", variant),
            *(f"{pace:,.0f}", f"{ratio:.2f}", f"{cpu:.2f}"),
        )
    return shown


if __name__ == "__main__":
    main()
