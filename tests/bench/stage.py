"""Where the contenders meet: one local stack, one Prefect server, and the files in two buckets."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from media_enricher import migrations
from media_enricher.demo.filling import content_type, settings_of
from media_enricher.dev.prefect_server import PrefectServer
from media_enricher.models import StorageObject
from media_enricher.supabase.bucket import Bucket
from media_enricher.supabase.client import connect
from supabase_local import LocalStack

UPLOADS_AT_ONCE = 8
RECORDING_SECONDS = 60.0
SIGNED_SECONDS = 24 * 3600


class Stage:
    """The running servers."""

    def __init__(self, stack: LocalStack, prefect: PrefectServer, folder: Path) -> None:
        self.stack = stack
        self.prefect = prefect
        self._folder = folder

    @classmethod
    @contextmanager
    def set(cls, folder: Path) -> Iterator[Stage]:
        """Start both; what was uploaded before is there again."""
        shutil.rmtree(folder / "prefect", ignore_errors=True)
        with (
            PrefectServer.start(folder / "prefect") as prefect,
            LocalStack.start(folder / "stack") as stack,
        ):
            migrations.apply(stack.database_url)
            prefect.wait_until_ready()
            yield cls(stack, prefect, folder)

    def upload(self, name: str, paths: list[Path]) -> None:
        """Put files into a bucket, in the order of their names; those that it has already stay."""
        bucket = Bucket(connect(settings_of(self.stack)), name)
        bucket.create_private()
        wanted = {f"{path.parent.name}/{path.name}": path for path in paths}
        missing = sorted(wanted.keys() - set(bucket.list()))
        with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
            for _ in pool.map(
                lambda name: bucket.upload(name, wanted[name].read_bytes(), content_type(name)),
                missing,
            ):
                pass

    def copy_to_albums(self, name: str, paths: list[Path], albums: int) -> None:
        """Copy what was uploaded into folders `album-2`, `album-3`…, which sort after the rest."""
        client = connect(settings_of(self.stack))
        there = set(Bucket(client, name).list())
        copies = [
            (original, copy)
            for album in range(2, albums + 1)
            for path in paths
            for original in [f"{path.parent.name}/{path.name}"]
            if (copy := f"album-{album}/{original}") not in there
        ]
        with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
            for _ in pool.map(lambda pair: client.storage.from_(name).copy(*pair), copies):
                pass

    def objects(self, bucket: str, limit: int) -> list[StorageObject]:
        """The first objects of a bucket by name, as the flow's plan gives them."""
        rows = self.query(
            "select name, (metadata ->> 'size')::bigint as size, metadata ->> 'mimetype' as type"
            ' from storage.objects where bucket_id = $1 order by name collate "C" limit $2',
            bucket,
            limit,
        )
        return [
            StorageObject(
                bucket=bucket,
                path=row["name"],
                size_bytes=row["size"],
                declared_content_type=row["type"],
            )
            for row in rows
        ]

    def signed_urls(self, bucket: str, limit: int) -> list[str]:
        """URLs of the same objects that anyone may read, as a program without the key needs."""
        storage = connect(settings_of(self.stack)).storage.from_(bucket)
        paths = [each.path for each in self.objects(bucket, limit)]
        signed = storage.create_signed_urls(paths, SIGNED_SECONDS)
        return [url for each in signed if (url := each["signedURL"])]

    @contextmanager
    def clean_slate(self) -> Iterator[dict[str, str]]:
        """As if nothing had ever run: no rows, no cached results; the environment for a run."""
        self.query("truncate public.media_assets, public.media_enrich_runs cascade")
        self.query("vacuum analyze storage.objects")
        with tempfile.TemporaryDirectory(dir=self._folder) as results:
            yield (
                self.stack.environment()
                | self.prefect.environment()
                | {"MEDIA_ENRICHER_RESULT_STORAGE": results, "PREFECT_LOGGING_LEVEL": "WARNING"}
            )

    def span(self, run_id: str) -> tuple[float, float]:
        """From the start of a flow run's plan to the end of its last write, in Unix seconds."""
        deadline = time.monotonic() + RECORDING_SECONDS
        while True:  # Prefect records task runs in passing, so the last ones show up a little later
            tasks = self._task_runs(run_id)
            if any(name == "report" and end for name, _, end in tasks):
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"Prefect has not recorded the tasks of run {run_id}")
            time.sleep(0.2)
        return (
            min(_seconds(start) for name, start, _ in tasks if name == "plan"),
            max(_seconds(end) for name, _, end in tasks if name == "write"),
        )

    def _task_runs(self, run_id: str) -> list[tuple[str, str, str]]:
        """Name, start and end of the task runs that matter for the span."""
        user, _, password = self.prefect.auth_string.partition(":")
        runs: list[dict[str, Any]] = []
        for name in ("plan", "report", "write"):
            found = httpx.post(
                f"{self.prefect.url}/api/task_runs/filter",
                auth=(user, password),
                json={
                    "flow_runs": {"id": {"any_": [run_id]}},
                    "task_runs": {"name": {"any_": [name]}},
                    "sort": "END_TIME_DESC",
                    "limit": 50,
                },
            )
            runs += found.raise_for_status().json()
        return [(run["name"], run["start_time"], run["end_time"]) for run in runs]

    def query(self, sql: str, *arguments: object) -> list[dict[str, Any]]:
        """Ask the database itself."""

        async def ask() -> list[dict[str, Any]]:
            connection = await asyncpg.connect(self.stack.database_url)
            try:
                return [dict(row) for row in await connection.fetch(sql, *arguments)]
            finally:
                await connection.close()

        return asyncio.run(ask())


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
