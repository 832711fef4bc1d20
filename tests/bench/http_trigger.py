"""`make bench-http`: how long the HTTP trigger takes to answer, and a run to begin."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median, quantiles

import httpx
import msgspec
from rich.console import Console
from rich.table import Table

from media_enricher.demo.filling import settings_of
from media_enricher.dev.environment import DevEnvironment
from media_enricher.supabase.bucket import Bucket
from media_enricher.supabase.client import connect
from supabase_local import LocalStack

BUCKET = "bench-http"
AT_ONCE = 200
POLL_SECONDS = 0.1
PAUSE_SECONDS = 4.0
"""After a run has ended, until its process is gone and Prefect has written down all about it."""
RUN_SECONDS = 60.0
LEGEND = """\
All of it on one machine: local Supabase, Prefect server, worker, gateway. Idle: one request at a
time, each for a run of its own, and the next one some seconds after that run has ended. At once:
all for the same bucket, over as many connections. To Running: from the request until the run's row
says running."""

EDGE_FUNCTION_ROUNDS = 500
EDGE_FUNCTION_LEGEND = """\
GET /me with the service key, one request at a time and over one connection each: in turn straight
to the gateway, and through the Edge Function, which Deno runs on the same machine. Added: the
difference within each turn."""

console = Console(stderr=True)


class Timed(msgspec.Struct):
    """One answer.

    Attributes:
        seconds: until it was there.
        status: of HTTP.
        run_id: the run that it named.
    """

    seconds: float
    status: int
    run_id: str | None


class Report(msgspec.Struct):
    """Every figure, in seconds."""

    idle: list[Timed]
    to_running: list[float]
    at_once: list[Timed]


class EdgeFunctionReport(msgspec.Struct):
    """Answers straight from the gateway and through the Edge Function, in turn, in seconds."""

    direct: list[float]
    through: list[float]


def main() -> None:
    """Start everything, measure, print."""
    parser = argparse.ArgumentParser(prog="make bench-http", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="idle requests, one at a time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument(
        "--edge-function",
        action="store_true",
        help="measure only what the Edge Function adds to an answer",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with console.status("starting everything"):
            site = DevEnvironment.start(
                Path(folder), edge_function=options.edge_function, prepare=_fill
            )
        with site, console.status("measuring"):
            report: Report | EdgeFunctionReport
            if options.edge_function:
                report = asyncio.run(measure_edge_function(site))
                shown, legend = edge_function_table(report), EDGE_FUNCTION_LEGEND
            else:
                report = asyncio.run(measure(site, options.rounds))
                shown, legend = table(report), LEGEND
    Console().print(shown)
    Console().print(legend, style="dim", highlight=False, soft_wrap=True)
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))


async def measure(site: DevEnvironment, rounds: int) -> Report:
    """Ask one at a time, then all at once."""
    headers = {"authorization": f"Bearer {site.environment()['SUPABASE_SECRET_KEY']}"}
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(
        base_url=f"{site.gateway_url}/media-enricher", headers=headers, limits=limits, timeout=60
    ) as http:
        await ask(http, "round-0/")  # connects everyone to everyone
        await asyncio.sleep(RUN_SECONDS / 4)
        idle, to_running = [], []
        for number in range(1, rounds + 1):
            asked = time.monotonic()
            answer = await ask(http, f"round-{number}/")
            idle.append(answer)
            if answer.run_id:
                to_running.append(await _until(http, answer.run_id, "running") - asked)
                await _until(http, answer.run_id, "completed")
                await asyncio.sleep(PAUSE_SECONDS)
        at_once = list(await asyncio.gather(*(ask(http, "at-once/") for _ in range(AT_ONCE))))
        return Report(idle=idle, to_running=to_running, at_once=at_once)


async def measure_edge_function(site: DevEnvironment) -> EdgeFunctionReport:
    """Ask the gateway and the Edge Function in turn, so that both meet the same machine."""
    function = site.edge_function
    if function is None:
        raise AssertionError("the site was started without the Edge Function")
    headers = {"authorization": f"Bearer {site.environment()['SUPABASE_SECRET_KEY']}"}
    report = EdgeFunctionReport(direct=[], through=[])
    async with (
        httpx.AsyncClient(base_url=site.gateway_url, headers=headers, timeout=60) as gateway,
        httpx.AsyncClient(base_url=function.url, headers=headers, timeout=60) as edge,
    ):
        for http in (gateway, edge):
            (await http.get("/media-enricher/me")).raise_for_status()  # connects
        for _ in range(EDGE_FUNCTION_ROUNDS):
            for http, seconds in ((gateway, report.direct), (edge, report.through)):
                asked = time.monotonic()
                (await http.get("/media-enricher/me")).raise_for_status()
                seconds.append(time.monotonic() - asked)
    return report


async def ask(http: httpx.AsyncClient, prefix: str) -> Timed:
    """Trigger a run, and time the answer."""
    asked = time.monotonic()
    answer = await http.post("/backfill", params={"bucket": BUCKET, "prefix": prefix})
    return Timed(time.monotonic() - asked, answer.status_code, answer.json().get("run_id"))


def table(report: Report) -> Table:
    """Medians and 95th percentiles."""
    shown = Table(box=None, header_style="dim")
    for column in ("what", "how many", "median", "p95", "answers", "runs"):
        shown.add_column(column, justify="left" if column == "what" else "right")
    rows = {"answer, idle": report.idle, f"answer, {AT_ONCE} at once": report.at_once}
    for what, answers in rows.items():
        shown.add_row(
            what,
            str(len(answers)),
            *_spread(each.seconds for each in answers),
            " ".join(sorted({str(each.status) for each in answers})),
            str(len({each.run_id for each in answers if each.run_id})),
        )
    shown.add_row("to Running, idle", str(len(report.to_running)), *_spread(report.to_running))
    return shown


def edge_function_table(report: EdgeFunctionReport) -> Table:
    """Medians and 95th percentiles, of both and of the difference."""
    shown = Table(box=None, header_style="dim")
    for column in ("what", "how many", "median", "p95"):
        shown.add_column(column, justify="left" if column == "what" else "right")
    added = [
        through - direct for through, direct in zip(report.through, report.direct, strict=True)
    ]
    rows = {"straight": report.direct, "through the Edge Function": report.through, "added": added}
    for what, seconds in rows.items():
        milliseconds = [f"{each * 1000:.1f} ms" for each in _median_and_p95(seconds)]
        shown.add_row(what, str(len(seconds)), *milliseconds)
    return shown


def _median_and_p95(seconds: list[float]) -> tuple[float, float]:
    return median(seconds), quantiles(seconds, n=20, method="inclusive")[-1]


def _spread(seconds: Iterable[float]) -> tuple[str, str]:
    middle, high = _median_and_p95(list(seconds))
    return _shown(middle), _shown(high)


def _shown(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


async def _until(http: httpx.AsyncClient, run_id: str, status: str) -> float:
    """When the run has come as far as a status, or past it."""
    past = {"completed", "failed", "cancelled", "crashed"}
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        now = (await http.get(f"/runs/{run_id}")).json()["status"]
        if now == status or now in past:
            return time.monotonic()
        await asyncio.sleep(POLL_SECONDS)
    raise TimeoutError(f"run {run_id} was not {status} within {RUN_SECONDS:.0f} s")


def _fill(stack: LocalStack) -> None:
    """A bucket with nothing to do in it: what is measured is the way to a run, and not the run."""
    Bucket(connect(settings_of(stack)), BUCKET).create_private()


if __name__ == "__main__":
    main()
