"""Runs over a cluster: the same rows as by threads, and nothing left of them afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import psutil
import pytest

from media_enricher.batching import CLUSTER_LIMITS
from media_enricher.models import Depth
from media_enricher.orchestration.task_runners import task_runner
from media_enricher.settings import SettingsError, settings
from supabase_local import LocalStack
from tests.bench.delaying_proxy import Distance, delayed
from tests.dask_cluster import DaskCluster, dask_cluster
from tests.flows.conftest import FilledBucket, FlowProcess, photo
from tests.flows.test_backfill import findings, run
from tests.waiting import PROMPT_SECONDS, command_of, wait_for, wait_until_gone

ENGINE_WORKER = "media_enricher.engine.worker_main"
BATCHES = 6


def in_several_batches(bucket: FilledBucket, objects: int) -> None:
    """Put so many photographs into each of six batches, and two odd files."""
    last_of_batches: list[int] = []
    for number in range(objects, 99_999):
        is_cut = crc32(path_of(number).encode()) % CLUSTER_LIMITS[Depth.FULL].cut_every == 0
        if is_cut and number - objects >= (last_of_batches or [0])[-1]:
            last_of_batches.append(number)
    bucket.put_all(
        {
            path_of(number): photo(number)
            for last in last_of_batches[:BATCHES]
            for number in range(last - objects + 1, last + 1)
        }
    )
    bucket.put("broken.jpg", photo(1)[:300])
    bucket.put("notes.txt", b"not an image at all", "text/plain")


def path_of(number: int) -> str:
    return f"photos/{number:05}.jpg"


def engine_workers_below(process: psutil.Process) -> list[psutil.Process]:
    """The engine workers of a process and of all that it has started."""
    below = process.children(recursive=True)
    return [each for each in below if ENGINE_WORKER in command_of(each)]


@pytest.fixture
def dask(needs_cluster: None, migrated_stack: LocalStack, tmp_path: Path) -> Iterator[DaskCluster]:
    """Two workers, who know the project by their own environment alone."""
    environment = migrated_stack.environment() | two("dask")
    with dask_cluster(environment, workers=2, folder=tmp_path) as running:
        yield running


def two(runner: str) -> dict[str, str]:
    """An environment for two processes that enrich."""
    return {"MEDIA_ENRICHER_TASK_RUNNER": runner, "MEDIA_ENRICHER_ENGINE_WORKERS": "2"}


def test_two_dask_workers_give_the_same_table_as_threads_and_keep_no_engine_worker(
    bucket: FilledBucket,
    start_flow: Callable[..., FlowProcess],
    dask: DaskCluster,
) -> None:
    in_several_batches(bucket, 30)
    assert run(bucket).is_completed()
    by_threads = findings(bucket)
    flow = start_flow(
        two("dask") | {"MEDIA_ENRICHER_DASK_ADDRESS": dask.address}, bucket=bucket.name, mode="all"
    )
    flow.wait_for_run_id()
    seen: set[int] = set()  # one may be done before the other begins

    def both_were_seen() -> bool:
        seen.update(each.pid for each in engine_workers_below(dask.workers))
        return len(seen) >= 2

    wait_for(both_were_seen)
    exit_code, last = flow.result()
    assert exit_code == 0, last
    assert last["message"].startswith("180 enriched, 1 failed, 1 unsupported of 182")
    assert findings(bucket) == by_threads
    wait_for(lambda: not engine_workers_below(dask.workers))
    assert len(dask.workers.children(recursive=True)) >= 2, "the workers are not ours to end"


@pytest.mark.usefixtures("needs_cluster")
def test_what_a_dask_worker_has_in_work_is_not_read_by_another(
    bucket: FilledBucket, start_flow: Callable[..., FlowProcess], tmp_path: Path
) -> None:
    in_several_batches(bucket, 60)  # of which each takes longer than its first list of outcomes
    with delayed(bucket.stack.url, Distance(rtt_seconds=0.1)) as url:
        few_at_once = {"MEDIA_ENRICHER_DOWNLOADS_PER_ENGINE_WORKER": "2", "SUPABASE_URL": url}
        environment = bucket.stack.environment() | two("dask") | few_at_once
        with dask_cluster(environment, workers=2, folder=tmp_path) as running:
            address = {"MEDIA_ENRICHER_DASK_ADDRESS": running.address}
            flow = start_flow(two("dask") | few_at_once | address, bucket=bucket.name)
            flow.wait_for_run_id()
            exit_code, last = flow.result()
    assert exit_code == 0, last
    downloads = bucket.downloads()
    assert (len(downloads), max(downloads.values())) == (362, 1)


@pytest.mark.usefixtures("needs_cluster")
def test_ray_gives_the_same_table_as_threads_and_leaves_no_process(
    bucket: FilledBucket, start_flow: Callable[..., FlowProcess]
) -> None:
    in_several_batches(bucket, 30)
    assert run(bucket).is_completed()
    by_threads = findings(bucket)
    flow = start_flow(two("ray"), bucket=bucket.name, mode="all")
    flow.wait_for_run_id()
    root, started = psutil.Process(flow.process.pid), set[psutil.Process]()

    def has_ended() -> bool:
        started.update(root.children(recursive=True))
        return flow.process.poll() is not None

    wait_for(has_ended, "the run does not end")
    exit_code, last = flow.result()
    assert exit_code == 0, last
    assert last["message"].startswith("180 enriched, 1 failed, 1 unsupported of 182")
    assert findings(bucket) == by_threads
    assert started
    wait_until_gone(started)


@pytest.mark.usefixtures("needs_cluster")
@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_a_cancellation_stops_a_local_cluster_within_seconds(
    bucket: FilledBucket, start_flow: Callable[..., FlowProcess], runner: str
) -> None:
    in_several_batches(bucket, 200)
    one_at_a_time = {"MEDIA_ENRICHER_DOWNLOADS_PER_ENGINE_WORKER": "1"}
    flow = start_flow(two(runner) | one_at_a_time, bucket=bucket.name)
    run_id = flow.wait_for_run_id()
    bucket.wait_for_downloads(50)
    started = psutil.Process(flow.process.pid).children(recursive=True)
    assert flow.cancel_through_prefect() < PROMPT_SECONDS
    assert flow.result()[1]["state"] == "CANCELLED"
    wait_until_gone(started)
    assert bucket.run(run_id)["status"] == "cancelled"


def test_a_runner_that_is_not_installed_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MEDIA_ENRICHER_TASK_RUNNER", "dask")
    for name in ("prefect_dask", "prefect_dask.task_runners"):
        monkeypatch.setitem(sys.modules, name, None)
    settings.cache_clear()
    with pytest.raises(SettingsError, match=r"pip install --editable '.\[dask\]'"):
        task_runner()


def test_a_cluster_is_imported_by_those_who_use_it_alone() -> None:
    code = "import sys, flows.backfill; print({'distributed', 'ray'} & set(sys.modules))"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed == "set()\n"
