"""`make profile`: where the processor time of a run goes, by process and stage, and a flame graph.

py-spy looks a hundred times a second at the flow's process, its engine workers and their decoders,
and counts the threads that hold an interpreter's lock: what Python does, and not what waits, nor
what a library does beside it, as compressing. It is installed into an environment of its own, as
nothing else needs it. The servers are not Python, or not ours: of them there is the processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import venv
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from media_enricher.models import Depth
from tests.bench import corpus, flame
from tests.bench.stage import Stage
from tests.corpora import KEPT

PROFILER = "py-spy==0.4.3"
SAMPLES_A_SECOND = 100
BUCKET = "bench-profile"

Stack = tuple[str, ...]
"""Frames from the outermost to the innermost, as `function (file.py)`."""

STAGES: dict[str, tuple[str, ...]] = {
    "snapshot": ("media_enricher/snapshot/",),
    "record": ("supabase/ledgers.py", "supabase/rows.py", "orchestration/recorder.py"),
    "plan": ("tasks/plan.py", "supabase/assets.py", "media_enricher/batching.py"),
    "stored results": ("orchestration/signed_results.py", "prefect/results.py"),
    "write": ("tasks/write.py", "media_enricher/run_stats.py"),
    "enrich": ("tasks/enrich.py", "tasks/enrichment.py"),
    "engine": ("media_enricher/engine/",),
    "imports": ("importlib",),
    "Prefect": ("prefect/", "prefect ("),
}
"""The stages of the flow's process, by the files that they run in: the first that a stack has."""

console = Console(stderr=True)


def main() -> None:
    """Run the flow once under the profiler, and say where its processor time went."""
    parser = argparse.ArgumentParser(prog="make profile", description=__doc__)
    parser.add_argument("--depth", choices=list(Depth), default=Depth.HEADER)
    parser.add_argument("--objects", type=int, default=20_000, help="how many small images")
    parser.add_argument("--photographs", action="store_true", help="600 photographs instead")
    parser.add_argument("--output", type=Path, default=KEPT / "profile", metavar="FOLDER")
    parser.add_argument("--folder", type=Path, default=KEPT / "bench", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)

    profiler = installed(KEPT / "profiler")
    if options.photographs:
        files = corpus.photographs(options.folder / "photographs", 600)
    else:
        files = corpus.small_images(options.folder / "small", options.objects)
    bucket = f"{BUCKET}-{'photographs' if options.photographs else 'small'}"
    with Stage.set(options.folder) as stage:
        with console.status("uploading (once)"):
            stage.upload(bucket, files)
        folded = options.output / "stacks.txt"
        parameters = {"bucket": bucket, "depth": options.depth, "limit": len(files)}
        command = [sys.executable, "-m", "flows", "backfill", json.dumps(parameters)]
        with (
            stage.clean_slate() as environment,
            cpu_of_servers(stage) as servers,
            console.status("running the flow"),
        ):
            subprocess.run(
                [
                    *(str(profiler), "record", "--subprocesses", "--gil", "--nonblocking"),
                    *("--nolineno", "--full-filenames", "--format", "raw"),
                    *("--rate", str(SAMPLES_A_SECOND)),
                    *("--output", str(folded), "--", *command),
                ],
                env=os.environ | environment,
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
    stacks = read_stacks(folded.read_text().splitlines())
    graph = options.output / "flame.svg"
    graph.write_text(flame.svg(stacks, title=f"{len(files):,} objects at depth {options.depth}"))
    Console().print(table(stacks, servers, len(files)))
    console.print(f"Flame graph: {graph}", highlight=False)


def installed(folder: Path) -> Path:
    """The program py-spy, in an environment of its own, made the first time."""
    program = folder / "bin" / "py-spy"
    if not program.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", PROFILER], check=True)
    return program


@contextmanager
def cpu_of_servers(stage: Stage) -> Iterator[dict[str, float]]:
    """Fill the dictionary with the processor seconds that each server uses meanwhile."""
    spent: dict[str, float] = {}
    before = _cpu_by_server(stage)
    yield spent
    after = _cpu_by_server(stage)
    spent.update({name: seconds - before.get(name, 0.0) for name, seconds in after.items()})


def _cpu_by_server(stage: Stage) -> dict[str, float]:
    seconds: defaultdict[str, float] = defaultdict(float)
    for root, name in ((stage.stack.pid, "local Storage"), (stage.prefect.pid, "Prefect server")):
        process = psutil.Process(root)
        for each in [process, *process.children(recursive=True)]:
            times = each.cpu_times()
            known = {"postgres": "Postgres", "postgrest": "PostgREST"}.get(each.name(), name)
            seconds[known] += times.user + times.system + times.children_user
            seconds[known] += times.children_system
    return seconds


def read_stacks(lines: Iterable[str]) -> Counter[Stack]:
    """Samples by stack, from py-spy's raw format: frames joined by `;`, a space, how many.

    The first frame of a stack of ours is what the process is: flow, engine worker or decoder. That
    of py-spy, `process 123:"…"`, has its number and its command line.
    """
    stacks: Counter[Stack] = Counter()
    for line in lines:
        joined, _, samples = line.rpartition(" ")
        frames = [frame for frame in joined.split(";") if not frame.startswith("process ")]
        stacks[(process_of(frames), *map(_shortened, frames))] += int(samples)
    return stacks


def process_of(frames: Iterable[str]) -> str:
    """What a process is, by the frames of a thread of it."""
    joined = ";".join(frames)
    if "engine/decoder.py" in joined or "engine/fork_server.py" in joined:
        return "decoders"
    return "engine workers" if "engine/worker_main.py" in joined else "flow"


def stage_of(stack: Stack) -> str:
    """The stage of a stack: of the flow's process by `STAGES`; else the process itself."""
    process, *frames = stack
    if process != "flow":
        return ""
    joined = ";".join(frames)
    for stage, files in STAGES.items():
        if any(file in joined for file in files):
            return stage
    return "other"


def table(stacks: Counter[Stack], servers: Mapping[str, float], objects: int) -> Table:
    """Processor seconds per 1,000 objects, by process and stage."""
    shown = Table(
        title="Seconds per 1,000 objects, start-up included: of processes of ours, under the "
        "interpreter's lock; of servers, of processor time",
        box=None,
        title_justify="left",
    )
    shown.add_column("process")
    shown.add_column("stage")
    shown.add_column("seconds", justify="right")
    spent: Counter[tuple[str, str]] = Counter()
    for stack, samples in stacks.items():
        spent[stack[0], stage_of(stack)] += samples
    for (process, stage), samples in sorted(
        spent.items(), key=lambda item: (item[0][0] != "flow", item[0][0], -item[1])
    ):
        seconds = samples / SAMPLES_A_SECOND
        shown.add_row(process, stage, f"{seconds * 1000 / objects:.3f}")
    for server, seconds in sorted(servers.items(), key=lambda item: -item[1]):
        shown.add_row(server, "", f"{seconds * 1000 / objects:.3f}")
    return shown


def _shortened(frame: str) -> str:
    """A frame with its file from the package on: `enrich (tasks/enrich.py)`."""
    for start in ("/site-packages/", f"{Path.cwd()}/", "/lib/python3"):
        head, found, tail = frame.partition(start)
        if found:
            return f"{head.partition(' (')[0]} ({tail}"
    return frame


if __name__ == "__main__":
    main()
