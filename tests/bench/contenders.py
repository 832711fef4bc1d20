"""One run of one contender on one set of files, measured."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from media_enricher.models import Depth
from tests.bench import sampler
from tests.bench.job import Done, Job
from tests.bench.stage import Stage

Name = Literal["flow", "loop", "script", "img2dataset", "daft"]
CORES = len(os.sched_getaffinity(0))
DOWNLOADS = 64


class Round(msgspec.Struct, kw_only=True, frozen=True):
    """What is read, and how."""

    bucket: str
    objects: int
    depth: Depth


class Measured(msgspec.Struct, kw_only=True):
    """One run. Times in seconds; processor time is that of the contender alone."""

    contender: Name
    round: Round
    start_up_seconds: float
    """From the start of the program to the first question or request."""
    seconds: float
    """From there to the last commit or result."""
    cpu_seconds: float
    prefect_cpu_seconds: float
    stack_cpu_seconds: float
    peak_rss_mb: float
    peak_pss_mb: float
    lost: int = 0
    """Images that it gave up. Only of peers: the others must describe all."""
    version: str = ""
    """Of a peer."""

    @property
    def images_per_second(self) -> float:
        return self.round.objects / self.seconds


class Run(NamedTuple):
    """What a contender's program says of itself, and what was seen of it. Times in Unix seconds."""

    started: float
    first_request: float
    last_result: float
    usage: sampler.Usage
    lost: int = 0
    version: str = ""


class IncompleteError(Exception):
    """A contender left something out, so its speed says nothing."""


def measure(
    stage: Stage, name: Name, each: Round, settings: Mapping[str, str] | None = None
) -> Measured:
    """Run a contender on a clean slate.

    Args:
        stage: where.
        name: of the contender.
        each: what is read.
        settings: environment variables for the flow.

    Raises:
        IncompleteError: not every image was described.
        sampler.FailedError: the program failed.
    """

    def run(environment: dict[str, str]) -> Run:
        if name == "flow":
            return _flow(stage, each, environment | dict(settings or {}))
        return _program(stage, name, each)

    return measure_run(stage, name, each, run)


def measure_run(
    stage: Stage, name: Name, each: Round, run: Callable[[dict[str, str]], Run]
) -> Measured:
    """Run a contender, which is given the environment of a flow, on a clean slate."""
    with (
        stage.clean_slate() as environment,
        sampler.cpu_seconds_of(stage.stack.pid) as stack_cpu,
        sampler.cpu_seconds_of(stage.prefect.pid) as prefect_cpu,
    ):
        ran = run(environment)
    return Measured(
        contender=name,
        round=each,
        start_up_seconds=ran.first_request - ran.started,
        seconds=ran.last_result - ran.first_request,
        cpu_seconds=ran.usage.cpu_seconds,
        prefect_cpu_seconds=prefect_cpu[0],
        stack_cpu_seconds=stack_cpu[0],
        peak_rss_mb=ran.usage.peak_rss_mb,
        peak_pss_mb=ran.usage.peak_pss_mb,
        lost=ran.lost,
        version=ran.version,
    )


def _flow(stage: Stage, each: Round, environment: dict[str, str]) -> Run:
    """(a) The backfill flow with everything it does, as the command line starts it."""
    parameters = {"bucket": each.bucket, "depth": each.depth, "limit": each.objects}
    ran = sampler.run(
        [sys.executable, "-m", "flows", "backfill", json.dumps(parameters)], environment
    )
    run_id = json.loads(ran.lines[0])["run_id"]
    (run,) = stage.query("select * from public.media_enrich_runs where id = $1", run_id)
    (rows,) = stage.query(
        "select count(*) as described from public.media_assets where bucket = $1 and width > 0",
        each.bucket,
    )
    _refuse_incomplete("flow", each, min(run["succeeded"], rows["described"]))
    first_plan, last_write = stage.span(run_id)
    return Run(ran.started, first_plan, last_write, ran.usage)


def _program(stage: Stage, name: Name, each: Round) -> Run:
    job = Job(
        supabase_url=stage.stack.url,
        service_key=stage.stack.service_key,
        depth=each.depth,
        processes=CORES,
        downloads=DOWNLOADS,
        objects=stage.objects(each.bucket, each.objects),
    )
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        Path(file.name).write_bytes(msgspec.json.encode(job))
        ran = sampler.run([sys.executable, "-m", f"tests.bench.{name}", file.name], {})
    done = msgspec.json.decode(ran.lines[-1], type=Done)
    _refuse_incomplete(name, each, done.described)
    return Run(ran.started, done.first_request, done.last_result, ran.usage)


def _refuse_incomplete(name: Name, each: Round, described: int) -> None:
    if described != each.objects:
        raise IncompleteError(
            f"the {name} described {described:,} of {each.objects:,} images of {each.bucket}"
        )
