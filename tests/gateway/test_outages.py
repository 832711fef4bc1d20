"""When Prefect or the database is away: 503, when to come again, and nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from supabase_local.ports import HOST, free_port
from tests.gateway.conftest import Gateway, runs_of
from tests.prefect_here import prefect_environment
from tests.waiting import PATIENCE_SECONDS


class LossyPrefect:
    """Prefect's API behind a line that, when told to, loses the answers that start runs."""

    def __init__(self) -> None:
        self.loses_answers = True
        self.lost = 0
        self.port = free_port()
        target = urlsplit(prefect_environment()["PREFECT_API_URL"])
        self._target = (target.hostname, target.port)
        self._path = target.path
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}{self._path}"

    def start(self) -> None:
        ready = threading.Event()

        async def serve() -> None:
            async with await asyncio.start_server(self._relay, HOST, self.port):
                ready.set()
                await asyncio.Event().wait()

        self._serving = self._loop.create_task(serve())
        self._thread.start()
        assert ready.wait(PATIENCE_SECONDS)

    def stop(self) -> None:
        async def end() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            self._loop.stop()

        asyncio.run_coroutine_threadsafe(end(), self._loop)
        self._thread.join(PATIENCE_SECONDS)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._target)
        starts_run = asyncio.Event()

        async def ask() -> None:
            while data := await reader.read(2**16):
                if b"/create_flow_run" in data:
                    starts_run.set()
                back.write(data)
            back.close()

        async def answer() -> None:
            while data := await there.read(2**16):
                if self.loses_answers and starts_run.is_set():
                    self.lost += 1
                    break
                writer.write(data)
            writer.close()

        await asyncio.gather(ask(), answer(), return_exceptions=True)


@pytest.fixture
def prefect(prefect_server: None) -> Iterator[LossyPrefect]:
    line = LossyPrefect()
    line.start()
    yield line
    line.stop()


def test_a_run_whose_answer_was_lost_is_found_by_a_retry(
    start_gateway: Callable[..., Gateway], prefect: LossyPrefect, bucket: str
) -> None:
    gateway = start_gateway(PREFECT_API_URL=prefect.url)

    lost = gateway.post_once("/backfill", gateway.stack.service_key, bucket=bucket)

    assert prefect.lost
    assert (lost.status_code, lost.json()["code"]) == (503, "unavailable")
    assert lost.elapsed.total_seconds() < 10
    assert int(lost.headers["retry-after"]) > 0
    assert gateway.audit(bucket)[0]["http_status"] == 503
    prefect.loses_answers = False
    found = gateway.as_service("/backfill", bucket=bucket)
    assert found.status_code == 202
    assert runs_of(bucket) == [found.json()["run_id"]]
    assert gateway.run(found.json()["run_id"])["trigger"] == "http"


def test_without_prefect_it_says_so_and_starts_the_run_later(
    start_gateway: Callable[..., Gateway], gateway: Gateway, bucket: str
) -> None:
    cut_off = start_gateway(PREFECT_API_URL=f"http://{HOST}:{free_port()}/api")

    answer = cut_off.post_once("/backfill", cut_off.stack.service_key, bucket=bucket)

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "Prefect" in answer.json()["error"]
    assert gateway.as_service("/backfill", bucket=bucket).status_code == 202, "by another gateway"


def test_without_the_database_it_says_so(gateway: Gateway, bucket: str) -> None:
    with gateway.stack.without_rest():
        answers: list[Any] = [
            gateway.post_once("/backfill", gateway.stack.service_key, bucket=bucket),
            gateway.get("/runs", gateway.stack.service_key),
        ]

    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert "database" in answer.json()["error"]
        assert answer.elapsed.total_seconds() < 10
        assert int(answer.headers["retry-after"]) > 0
    assert gateway.as_service("/backfill", bucket=bucket).status_code == 202


def test_a_missing_deployment_is_named(start_gateway: Callable[..., Gateway], bucket: str) -> None:
    gateway = start_gateway(MEDIA_ENRICHER_BACKFILL_DEPLOYMENT="backfill/none")

    answer = gateway.post_once("/backfill", gateway.stack.service_key, bucket=bucket)

    assert answer.status_code == 503
    assert "'backfill/none'" in answer.json()["error"]
