"""Objects change, while everything that enriches them is killed at random: none may be lost.

Supabase is never killed. The sweep, which would find what the change feed lost, is paused.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import psutil
from PIL import Image

from media_enricher import change_feed, migrations
from media_enricher.dev.gateway_process import GatewayProcess
from media_enricher.dev.prefect_server import PrefectServer
from media_enricher.dev.setup_process import SetupProcess
from media_enricher.dev.worker import Worker, environment_of_runs
from supabase_local import LocalStack
from supabase_local.ports import free_port
from tests.prefect_api import PrefectApi

RUN_COMMANDS = {"prefect.engine", "media_enricher.orchestration.engine_first"}
"""What prefect.yaml has the worker start for a run."""

BUCKET = "bench-changes"
_WRITERS = 4
_SECRET = "only this program and its gateway know it"
_SETTINGS = {
    "MEDIA_ENRICHER_BUCKETS": BUCKET,
    "MEDIA_ENRICHER_WEBHOOK_SECRET": _SECRET,
    "MEDIA_ENRICHER_ENGINE_WORKERS": "1",
    "MEDIA_ENRICHER_HEARTBEAT_SECONDS": "2",
    "MEDIA_ENRICHER_SILENCE_SECONDS": "15",
}
_DRAINED_SECONDS = 900.0


def main(uploads: int, seconds: float, seed: int) -> None:
    """Change and kill, wait until nothing waits, and compare; exit with 1 if anything differs."""
    with tempfile.TemporaryDirectory() as folder, Site.start(Path(folder)) as site:
        writers = [Writer(site, number, seed) for number in range(_WRITERS)]
        killer = Killer(site, seed)
        with ThreadPoolExecutor(_WRITERS + 1) as pool:
            killing = pool.submit(killer.kill_until_told)
            pause = seconds / (2 * uploads / _WRITERS)
            each = uploads // _WRITERS
            writing = [pool.submit(writer.write, each, pause) for writer in writers]
            _wait(writing)
            killer.stop.set()
            killing.result()
        took = site.wait_until_drained()
        expected = {path: etag for writer in writers for path, etag in writer.objects.items()}
        changes = sum((writer.done for writer in writers), Counter())
        problems = site.problems(expected)
        sys.stdout.write(
            f"{dict(changes)} in {len(expected)} objects; killed: {dict(killer.killed)}; "
            f"nudges: {dict(site.nudges)}; drained {took:.0f} s after the last change\n"
            f"{site.summary()}\n"
        )
    for problem in problems:
        sys.stdout.write(f"WRONG: {problem}\n")
    sys.exit(bool(problems))


def _wait(futures: list[Future[None]]) -> None:
    for future in futures:
        future.result()


class Site:
    """Everything that `media-enricher up` starts, each of it to be killed and started again."""

    def __init__(self, folder: Path, stack: LocalStack) -> None:
        self.stack = stack
        self.nudges: Counter[str] = Counter()
        self._folder = folder
        self._port = free_port()
        self._environment: dict[str, str] = {}
        self.prefect: PrefectServer
        self.gateway: GatewayProcess
        self.worker: Worker
        self._nudged = 0.0
        self._lock = threading.Lock()

    @classmethod
    @contextlib.contextmanager
    def start(cls, folder: Path) -> Iterator[Site]:
        """Start all of it, with the change feed on and without a sweep."""
        with LocalStack.start(folder / "stack") as stack:
            site = cls(folder, stack)
            migrations.apply(stack.database_url)
            httpx.post(
                f"{stack.url}/storage/v1/bucket",
                headers=site.key,
                json={"name": BUCKET},
                timeout=30,
            ).raise_for_status()
            site.start_prefect()
            site.prefect.wait_until_ready()
            setup = SetupProcess.start(folder / "setup.log", site._environment, wait_seconds=60)
            with setup:
                setup.wait()
            change_feed.turn_on(stack.database_url, [], [BUCKET])
            site._pause_sweep()
            site.start_gateway()
            site.start_worker()
            try:
                site.gateway.wait_until_ready()
                yield site
            finally:
                for server in (site.worker, site.gateway, site.prefect):
                    server.stop()

    @property
    def key(self) -> dict[str, str]:
        """The headers of a request with the secret key."""
        return {"authorization": f"Bearer {self.stack.service_key}"}

    def start_prefect(self) -> None:
        """Start it, or start it again with the same address and data."""
        self.prefect = PrefectServer.start(self._folder / "prefect")
        self._environment = {
            **_SETTINGS,
            **self.stack.environment(),
            **self.prefect.environment(),
        }

    def start_gateway(self) -> None:
        """Start it, or start it again at the same address."""
        log = self._folder / "gateway.log"
        self.gateway = GatewayProcess.start(self._port, log, self._environment)

    def start_worker(self) -> None:
        """Start it."""
        self.worker = Worker.start(
            self._folder / "worker.log", environment_of_runs(self._environment)
        )

    def nudge(self, path: str) -> None:
        """Tell the gateway that objects wait, as pg_net does: once a second, once each."""
        with self._lock:
            if time.monotonic() - self._nudged < 1:
                return
            self._nudged = time.monotonic()
        record = {"bucket_id": BUCKET, "name": path}
        try:
            httpx.post(
                f"{self.gateway.url}/media-enricher/enrich",
                headers={"x-webhook-secret": _SECRET},
                json={"type": "UPDATE", "table": "objects", "schema": "storage", "record": record},
                timeout=5,
            ).raise_for_status()
        except httpx.HTTPError as error:
            self.nudges[type(error).__name__] += 1
        else:
            self.nudges["sent"] += 1

    def wait_until_drained(self) -> float:
        """Wait until no object waits and no run is active; how many seconds that took."""
        began = time.monotonic()
        while self._query(
            "select 1 from media_enricher.requested_objects union all"
            " select 1 from public.media_enrich_runs where status in ('queued', 'running')"
        ):
            if time.monotonic() - began > _DRAINED_SECONDS:
                break
            self._tell_what_is_left()
            time.sleep(10)
        return time.monotonic() - began

    def problems(self, expected: dict[str, str]) -> list[str]:
        """What is not as it must be, once nothing waits.

        Args:
            expected: the MD5 of each object by its path.
        """
        rows = self._query(
            "select path, trim('\"' from etag) as etag, status, gone_at is not null as is_gone,"
            " count(*) over (partition by path) as rows"
            f" from media_assets where bucket = '{BUCKET}'"
        )
        by_path = {row["path"]: row for row in rows}
        waiting = self._query("select bucket, path from media_enricher.requested_objects")
        own = self._query(
            "select o.bucket from media_enricher.own_buckets o where exists"
            " (select from media_enrich_runs r where r.bucket = o.bucket)"
            " or exists (select from media_enricher.watched_buckets w where w.bucket = o.bucket)"
        )
        found = [
            *(f"{path} has no row" for path in expected.keys() - by_path.keys()),
            *(f"{row['path']} has {row['rows']} rows" for row in rows if row["rows"] > 1),
            *(f"{row['bucket']}/{row['path']} still waits" for row in waiting),
            *(f"a run was started in {row['bucket']}" for row in own),
        ]
        for path, row in by_path.items():
            if path not in expected:
                if not row["is_gone"]:
                    found.append(f"{path} was deleted, and its row does not say so")
            elif row["is_gone"] or row["status"] != "enriched":
                found.append(f"{path} is there, and its row says {dict(row)}")
            elif row["etag"] != expected[path]:
                found.append(f"{path} was overwritten, and its row is of the bytes before")
        return found

    def summary(self) -> str:
        """What the database holds of it in the end."""
        (row,) = self._query(
            "select (select count(*) from media_assets) as rows,"
            " (select count(*) from media_assets where gone_at is not null) as gone,"
            " (select count(*) from media_enrich_runs) as runs,"
            " (select count(*) from media_enrich_runs where status = 'crashed') as crashed,"
            " (select count(*) from storage.objects o join media_enricher.own_buckets b"
            "   on b.bucket = o.bucket_id) as own_objects"
        )
        return (
            f"{row['rows']:,} rows, {row['gone']:,} of them gone; {row['runs']:,} runs, "
            f"{row['crashed']:,} of them crashed; {row['own_objects']:,} objects in our own buckets"
        )

    def _tell_what_is_left(self) -> None:
        (row,) = self._query(
            "select (select count(*) from media_enricher.requested_objects) as waiting,"
            " (select string_agg(concat_ws(' ', r.id, r.status, now() - r.heartbeat_at), ', ')"
            "   from media_enrich_runs r where r.status in ('queued', 'running')) as runs"
        )
        api = PrefectApi(self.prefect.url, self.prefect.auth_string)
        states: Counter[str] = Counter()
        for name in ("process-queue/process-queue", "enrich-object/enrich-object"):
            states.update(f"{name} {run['state_name']}" for run in api.runs_of(name)[:60])
        sys.stderr.write(f"{row['waiting']} wait; runs: {row['runs']}; Prefect: {dict(states)}\n")

    def _pause_sweep(self) -> None:
        api = PrefectApi(self.prefect.url, self.prefect.auth_string)
        sweep = api.deployment("sweep/sweep")
        for schedule in sweep["schedules"]:
            api.ask(
                "PATCH", f"/deployments/{sweep['id']}/schedules/{schedule['id']}", {"active": False}
            )

    def _query(self, sql: str) -> list[asyncpg.Record]:
        async def ask() -> Any:
            connection = await asyncpg.connect(self.stack.database_url)
            try:
                return await connection.fetch(sql)
            finally:
                await connection.close()

        rows: list[asyncpg.Record] = asyncio.run(ask())
        return rows


class Writer:
    """Changes objects of a folder through Storage, and knows what must be there in the end."""

    def __init__(self, site: Site, number: int, seed: int) -> None:
        self.objects: dict[str, str] = {}
        self.done: Counter[str] = Counter()
        self._site = site
        self._folder = f"writer-{number}"
        self._random = random.Random(f"{seed} {number}")
        self._http = httpx.Client(
            base_url=f"{site.stack.url}/storage/v1", headers=site.key, timeout=120
        )

    def write(self, uploads: int, pause: float) -> None:
        """Upload so many objects, and change others as often in between."""
        while self.done["upload"] < uploads:
            self._upload(self._new_path())
            self.done["upload"] += 1
            if change := self._random.choice([self._overwrite, self._move, self._delete, None]):
                change(self._random.choice(list(self.objects)))
                self.done[change.__name__.lstrip("_")] += 1
            time.sleep(self._random.uniform(0, 2 * pause))

    def _upload(self, path: str) -> None:
        picture = BytesIO()
        colour = tuple(self._random.randbytes(3))
        Image.new("RGB", (32, 24), colour).save(picture, "PNG")
        data = picture.getvalue() + self._random.randbytes(16)  # after its end: another MD5
        self._send(
            "POST",
            f"/object/{BUCKET}/{quote(path)}",
            content=data,
            headers={"content-type": "image/png", "x-upsert": "true"},
        )
        self.objects[path] = hashlib.md5(data).hexdigest()
        self._site.nudge(path)

    def _overwrite(self, path: str) -> None:
        self._upload(path)

    def _move(self, path: str) -> None:
        target = self._new_path()
        self._send(
            "POST",
            "/object/move",
            json={"bucketId": BUCKET, "sourceKey": path, "destinationKey": target},
        )
        self.objects[target] = self.objects.pop(path)
        self._site.nudge(target)

    def _delete(self, path: str) -> None:
        self._send("DELETE", f"/object/{BUCKET}", json={"prefixes": [path]})
        del self.objects[path]
        self._site.nudge(path)

    def _new_path(self) -> str:
        return f"{self._folder}/{self._random.getrandbits(64):016x}.png"

    def _send(self, method: str, url: str, **request: Any) -> None:
        self._http.request(method, url, **request).raise_for_status()


class Killer:
    """Kills a server or a run every few seconds, and starts again what was killed."""

    def __init__(self, site: Site, seed: int) -> None:
        self.stop = threading.Event()
        self.killed: Counter[str] = Counter()
        self._site = site
        self._random = random.Random(f"{seed} killer")

    def kill_until_told(self) -> None:
        """Kill until `stop` is set; then all is running."""
        victims = {
            "gateway": self._kill_gateway,
            "worker": self._kill_worker,
            "run": self._kill_run,
            "prefect": self._kill_prefect,
        }
        while not self.stop.wait(self._random.uniform(4, 12)):
            name = self._random.choice(["gateway", "worker", "run", "run", "prefect"])
            victims[name]()
            self.killed[name] += 1
            self._start_ended()
        self._start_ended()

    def _kill_gateway(self) -> None:
        os.killpg(self._site.gateway.pid, signal.SIGKILL)
        self.stop.wait(self._random.uniform(0, 5))
        self._site.gateway.stop()
        self._site.start_gateway()

    def _kill_worker(self) -> None:
        """With all of its runs, as the loss of a machine does."""
        os.killpg(self._site.worker.pid, signal.SIGKILL)
        self.stop.wait(self._random.uniform(0, 5))
        self._site.worker.stop()
        self._site.start_worker()

    def _kill_run(self) -> None:
        family = psutil.Process(self._site.worker.pid).children(recursive=True)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                if not RUN_COMMANDS.isdisjoint(process.cmdline()):
                    process.kill()

    def _kill_prefect(self) -> None:
        os.killpg(self._site.prefect.pid, signal.SIGKILL)
        self.stop.wait(self._random.uniform(0, 5))
        self._site.prefect.stop()
        self._site.start_prefect()
        self._site.prefect.wait_until_ready()

    def _start_ended(self) -> None:
        """A worker ends by itself if it finds no Prefect."""
        if self._site.worker.has_ended:
            self._site.worker.stop()
            self._site.start_worker()
        if self._site.gateway.has_ended:
            self._site.gateway.stop()
            self._site.start_gateway()
