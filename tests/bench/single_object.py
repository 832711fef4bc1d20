"""`make bench-enrich`: how long one object takes, from the request until its row can be read."""

from __future__ import annotations

import argparse
import asyncio
import io
import tempfile
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import asyncpg
import httpx
import msgspec
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from media_enricher.demo.filling import settings_of
from media_enricher.dev.environment import DevEnvironment
from media_enricher.supabase.bucket import Bucket
from media_enricher.supabase.client import connect
from supabase_local import LocalStack

BUCKET = "bench-enrich"
POLL_SECONDS = 0.01
PAUSE_SECONDS = 2.0
"""After a run has ended, until its process is gone and Prefect has written down all about it."""
RUN_SECONDS = 60.0
WARM_UP = 2
"""The first requests connect everyone to everyone, and are not counted."""
LEGEND = """\
All of it on one machine: local Supabase, Prefect server, worker, gateway. One request at a time,
each for another photograph and a run of its own, the next one two seconds after that run has ended.
The row is looked for every 10 ms by a direct connection to Postgres."""

PARTS = {
    "answer": "the gateway's answer (202)",
    "queue": "a worker takes the run up, since Prefect has it (Pending)",
    "start": "its process starts, until the flow runs (Running)",
    "begin": "the flow's start, until the first batch is handed to the engine",
    "read": "the engine's start, the download and the probe",
    "row": "the row is written, since it was read",
    "total": "from the request until the row can be read",
    "end": "the run has ended (Completed), since the row can be read",
}
"""What each part is the time of. `queue` to `row` follow one another, beside `answer`."""

console = Console(stderr=True)


class Report(msgspec.Struct):
    """Every figure, in seconds: of each part, one for each request."""

    parts: dict[str, list[float]]
    requests: int


def main() -> None:
    """Start everything, measure, print."""
    parser = argparse.ArgumentParser(prog="make bench-enrich", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="requests, one after another")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    options = parser.parse_args()
    names = [f"photo-{number}.jpg" for number in range(options.rounds + WARM_UP)]
    with tempfile.TemporaryDirectory() as folder:
        with console.status("starting everything"):
            site = DevEnvironment.start(Path(folder), prepare=lambda stack: _fill(stack, names))
        with site, console.status("measuring"):
            report = asyncio.run(measure(site, names))
    Console().print(table(report))
    Console().print(LEGEND, style="dim", highlight=False, soft_wrap=True)
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))


async def measure(site: DevEnvironment, names: list[str]) -> Report:
    """Ask for one object after another, and time the parts of each."""
    environment = site.environment()
    report = Report(parts={part: [] for part in PARTS}, requests=0)
    assert site.stack is not None
    database = await asyncpg.connect(site.stack.database_url)
    user, _, password = (site.auth_string or "").partition(":")
    async with (
        httpx.AsyncClient(
            base_url=f"{site.gateway_url}/media-enricher",
            headers={"authorization": f"Bearer {environment['SUPABASE_SECRET_KEY']}"},
            timeout=RUN_SECONDS,
        ) as gateway,
        httpx.AsyncClient(
            base_url=environment["PREFECT_API_URL"], auth=(user, password), timeout=RUN_SECONDS
        ) as prefect,
    ):
        for number, name in enumerate(names):
            parts = await _measure_one(gateway, prefect, database, name)
            if number >= WARM_UP:
                report.requests += 1
                for part, seconds in parts.items():
                    report.parts[part].append(seconds)
    await database.close()
    return report


async def _measure_one(
    gateway: httpx.AsyncClient,
    prefect: httpx.AsyncClient,
    database: asyncpg.Connection[asyncpg.Record],
    name: str,
) -> dict[str, float]:
    asked = time.time()
    answer = await gateway.post("/enrich", params={"bucket": BUCKET, "path": name})
    answered = time.time()
    run_id = answer.raise_for_status().json()["run_id"]
    await _until_written(database, name)
    written = time.time()
    states = await _states_when_ended(prefect, run_id)
    await asyncio.sleep(PAUSE_SECONDS)
    began, ended = await _task_span(prefect, run_id, "enrich")
    return {
        "answer": answered - asked,
        "queue": states["PENDING"] - states["SCHEDULED"],
        "start": states["RUNNING"] - states["PENDING"],
        "begin": began - states["RUNNING"],
        "read": ended - began,
        "row": written - ended,
        "total": written - asked,
        "end": states["COMPLETED"] - written,
    }


async def _until_written(database: asyncpg.Connection[asyncpg.Record], name: str) -> None:
    deadline = time.monotonic() + RUN_SECONDS
    query = "select from public.media_assets where bucket = $1 and path = $2"
    while not await database.fetch(query, BUCKET, name):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no row of {name} within {RUN_SECONDS:.0f} s")
        await asyncio.sleep(POLL_SECONDS)


async def _states_when_ended(prefect: httpx.AsyncClient, run_id: str) -> dict[str, float]:
    """When the run came to each state, in Unix seconds; once it has completed."""
    deadline = time.monotonic() + RUN_SECONDS
    while True:
        answer = await prefect.get("/flow_run_states/", params={"flow_run_id": run_id})
        states = {state["type"]: _seconds(state["timestamp"]) for state in answer.json()}
        if "COMPLETED" in states:
            return states
        if time.monotonic() > deadline:
            raise TimeoutError(f"run {run_id} has not completed within {RUN_SECONDS:.0f} s")
        await asyncio.sleep(0.1)


async def _task_span(prefect: httpx.AsyncClient, run_id: str, name: str) -> tuple[float, float]:
    """When the run's first task run of that name began and ended, in Unix seconds."""
    asked: Mapping[str, Any] = {
        "flow_runs": {"id": {"any_": [run_id]}},
        "task_runs": {"name": {"like_": name}},
    }
    runs = (await prefect.post("/task_runs/filter", json=asked)).raise_for_status().json()
    first = min(runs, key=lambda run: run["start_time"])
    return _seconds(first["start_time"]), _seconds(first["end_time"])


def table(report: Report) -> Table:
    """Medians and 95th percentiles."""
    shown = Table(box=None, header_style="dim")
    for column in ("part", "what", "median", "p95"):
        shown.add_column(column, justify="left" if column in ("part", "what") else "right")
    for part, what in PARTS.items():
        shown.add_row(part, what, *_spread(report.parts[part]))
    return shown


def _spread(seconds: Iterable[float]) -> tuple[str, str]:
    figures = list(seconds)
    high = quantiles(figures, n=20, method="inclusive")[-1] if len(figures) > 1 else figures[0]
    return f"{median(figures):.2f} s", f"{high:.2f} s"


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()


def _fill(stack: LocalStack, names: list[str]) -> None:
    """A bucket with a photograph of 2 megapixels under each name, each with other bytes."""
    bucket = Bucket(connect(settings_of(stack)), BUCKET)
    bucket.create_private()
    random = np.random.default_rng(0)
    for name in names:
        coarse = random.integers(0, 255, (36, 48, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(coarse).resize((1600, 1200)).save(file, "JPEG", quality=90)
        bucket.upload(name, file.getvalue(), "image/jpeg")


if __name__ == "__main__":
    main()
