"""A Prefect server and a migrated Supabase, both real, and a bucket of one's own per test."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from io import BytesIO
from typing import Any
from uuid import UUID

import psutil
import pytest
from PIL import Image
from prefect import get_client
from prefect.states import Cancelling

from media_enricher.orchestration import resources
from media_enricher.snapshot.reader import open_snapshot
from media_enricher.snapshot.targets import SnapshotError
from process_control import parent_death
from supabase_local import LocalStack
from supabase_local.folder import StackFolder
from supabase_local.storage.blobs import BlobStore
from supabase_local.storage.uploads import Received
from supabase_local.storage.writes import metadata_json
from tests.conftest import Put
from tests.database import database_of
from tests.prefect_here import prefect_environment
from tests.waiting import PATIENCE_SECONDS, wait_for


@pytest.fixture
def wired(
    prefect_server: None,
    migrated_stack: LocalStack,
    supabase_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """Settings of this test's environment, and no connection left from another's."""
    monkeypatch.setenv(
        "MEDIA_ENRICHER_ENGINE_WORKERS", "1"
    )  # more cost their start and gain nothing here
    resources.forget()
    yield
    resources.forget()


@pytest.fixture(autouse=True)
def _wired(wired: None) -> None:
    """Every test of flows."""


SLOWLY = {"MEDIA_ENRICHER_ENGINE_WORKERS": "1", "MEDIA_ENRICHER_DOWNLOADS_PER_ENGINE_WORKER": "1"}
"""An environment in which a run of 1,500 objects lasts long enough to be interfered with."""


@cache
def photo(seed: int, size: tuple[int, int] = (64, 48), fmt: str = "JPEG") -> bytes:
    """A small real image whose content depends on the seed."""
    picture = Image.linear_gradient("L").resize(size).rotate(seed * 37 % 360)
    shifted = picture.point([(value * (seed % 251 + 1) + seed) % 256 for value in range(256)])
    buffer = BytesIO()
    Image.merge("RGB", (picture, shifted, picture)).save(buffer, fmt)
    return buffer.getvalue()


class FilledBucket:
    """A bucket, what is in it, and what the pipeline did with it."""

    def __init__(self, stack: LocalStack, name: str, put: Put) -> None:
        self.stack = stack
        self.name = name
        self._put = put
        self._seen = 0

    def put(self, path: str, data: bytes, content_type: str = "image/jpeg") -> None:
        self._put(self.name, path, data, content_type)

    def fill(self, count: int, folder: str = "photos") -> None:
        """Put so many different photographs."""
        self.put_all({f"{folder}/{i:05}.jpg": photo(i) for i in range(1, count + 1)})

    def put_all(self, photographs: Mapping[str, bytes]) -> None:
        """Put photographs where there are none, as Storage keeps uploads, but in one statement.

        Uploaded one by one, a thousand of them take longer than the run that a test is about.
        """
        blobs = BlobStore(StackFolder(self.stack.folder).blobs)
        stored = [_stored(blobs, data) for data in photographs.values()]
        self.query(
            "insert into storage.objects (bucket_id, name, version, metadata)"
            " select $1, * from unnest($2::text[], $3::text[], $4::jsonb[])",
            self.name,
            list(photographs),
            [each.version for each in stored],
            [metadata_json(each) for each in stored],
        )

    def query(self, sql: str, *arguments: object) -> list[dict[str, Any]]:
        """Ask the database itself."""
        return database_of(self.stack.database_url).rows(sql, *arguments)

    def rows(self) -> dict[str, dict[str, Any]]:
        """The rows of `media_assets`, by path."""
        found = self.query("select * from public.media_assets where bucket = $1", self.name)
        return {row["path"]: row for row in found}

    def run(self, run_id: object) -> dict[str, Any]:
        """The row of a run."""
        (row,) = self.query("select * from public.media_enrich_runs where id = $1", run_id)
        return row

    def assert_accounts_agree(self, run_id: object) -> None:
        """The rows that a run wrote, its snapshot, part by part, and its counters are one."""
        run = self.run(run_id)
        written = sorted(path for path, row in self.rows().items() if row["run_id"] == run["id"])
        try:
            parts = open_snapshot(run["snapshot_path"], resources.bucket).parts
        except SnapshotError:
            parts = []
        tables = [open_snapshot(part, resources.bucket).table for part in parts]
        assert sorted(path for table in tables for path in table["path"].to_pylist()) == written
        assert run["processed_files"] == len(written)

    def runs(self) -> list[dict[str, Any]]:
        """The rows of all runs on this bucket."""
        return self.query("select * from public.media_enrich_runs where bucket = $1", self.name)

    def latest_run(self) -> dict[str, Any]:
        """The row of the run that was started last on this bucket."""
        return self.query(
            "select * from public.media_enrich_runs where bucket = $1"
            " order by started_at desc limit 1",
            self.name,
        )[0]

    def downloads(self) -> Counter[str]:
        """How often each path was downloaded since the last call, successfully or not."""
        with self.stack.access_log.open("rb") as log:
            log.seek(self._seen)
            new = log.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._seen += len(whole)
        start = f"/object/authenticated/{self.name}/"
        requests = (json.loads(line) for line in whole.splitlines())
        return Counter(
            request["path"].removeprefix(start)
            for request in requests
            if request["method"] == "GET" and request["path"].startswith(start)
        )

    def delete(self, path: str) -> None:
        """Delete an object through Storage."""
        assert resources.supabase().storage.from_(self.name).remove([path])

    def lose(self, path: str) -> None:
        """Delete an object's bytes, and leave its row."""
        (row,) = self.query(
            "select version from storage.objects where bucket_id = $1 and name = $2",
            *(self.name, path),
        )
        BlobStore(StackFolder(self.stack.folder).blobs).remove(row["version"])

    def block_writes(self) -> None:
        """Let the database refuse the pipeline's rows, as after a botched migration."""
        self._on_recording("revoke execute on function {} from service_role")

    def allow_writes(self) -> None:
        """Undo `block_writes`."""
        self._on_recording("grant execute on function {} to service_role")

    def _on_recording(self, statement: str) -> None:
        self.query(statement.format("public.media_record_part"))

    def wait_for_downloads(self, count: int) -> None:
        """Wait until so many downloads were answered since `downloads` was called last."""
        seen = self._seen

        def so_far() -> int:
            self._seen = seen
            return sum(self.downloads().values())

        wait_for(lambda: so_far() >= count, f"{count} downloads did not happen")
        self._seen = seen


def _stored(blobs: BlobStore, data: bytes) -> Received:
    """The blob of an upload whose row is still to be written."""
    writer = blobs.writer()
    writer.write(data)
    return Received(
        version=writer.version,
        etag=writer.finish(),
        size=len(data),
        mimetype="image/jpeg",
        cache_control="no-cache",
        user_metadata=None,
    )


@pytest.fixture
def bucket(migrated_stack: LocalStack, make_bucket: Callable[[], str], put: Put) -> FilledBucket:
    """A bucket of one's own."""
    filled = FilledBucket(migrated_stack, make_bucket(), put)
    filled.downloads()
    return filled


class FlowProcess:
    """`python -m flows backfill …`, as the command line starts it."""

    def __init__(
        self, environment: dict[str, str], flow: str = "backfill", **parameters: object
    ) -> None:
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flows", flow, json.dumps(parameters)],
            env=prefect_environment() | environment,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=parent_death.preexec(),
        )
        self.run_id: str | None = None

    def wait_for_run_id(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the flow ended before it ran"
        self.run_id = str(json.loads(line)["run_id"])
        return self.run_id

    def result(self) -> tuple[int, dict[str, Any]]:
        """The exit code and the last line printed."""
        out, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        lines = out.strip().splitlines()
        return self.process.returncode, json.loads(lines[-1]) if lines else {}

    def cancel_through_prefect(self) -> float:
        """Ask as the Prefect UI does, wait for the end; return how long that took, in seconds."""
        assert self.run_id
        asked = time.monotonic()
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(UUID(self.run_id), Cancelling())
        self.process.wait(timeout=PATIENCE_SECONDS)
        return time.monotonic() - asked

    def kill(self) -> list[psutil.Process]:
        """SIGKILL it; return the children that it had."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        return children


@pytest.fixture
def start_flow(migrated_stack: LocalStack) -> Iterator[Callable[..., FlowProcess]]:
    """Start a flow, `backfill` by default, in a process of its own; whatever is left is killed."""
    started: list[FlowProcess] = []

    def start(environment: dict[str, str] | None = None, **parameters: Any) -> FlowProcess:
        flow = FlowProcess(migrated_stack.environment() | (environment or {}), **parameters)
        started.append(flow)
        return flow

    yield start
    for flow in started:
        if flow.process.poll() is None:
            flow.kill()
