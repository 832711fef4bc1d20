"""`media-enricher backfill`, as a user runs it: what it prints, its exit code, its Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from process_control import parent_death, processes
from supabase_local import LocalStack
from tests.flows.conftest import SLOWLY, FilledBucket, photo
from tests.prefect_here import prefect_environment
from tests.waiting import PATIENCE_SECONDS, marked, wait_for, wait_until_gone

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the command in a process of its own; whatever is left is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("media-enricher")), "backfill", *arguments],
            env=prefect_environment() | {"COLUMNS": "200"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=parent_death.preexec(),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()


def test_a_success_says_what_was_done_and_exits_with_0(bucket: FilledBucket, start: Start) -> None:
    bucket.fill(5)
    out, _ = (process := start(bucket.name, "--limit", "3")).communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert re.fullmatch(r"3 enriched of 3 in \d+ s\n", out)
    assert len(bucket.rows()) == 3


def test_a_dry_run_says_what_would_be_done(bucket: FilledBucket, start: Start) -> None:
    bucket.fill(2)
    out, _ = (process := start(bucket.name, "--dry-run")).communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert out.startswith("Dry run: 2 objects to enrich")
    assert bucket.rows() == {}


def test_a_failed_run_says_why_and_exits_with_1(bucket: FilledBucket, start: Start) -> None:
    for i in range(10):
        bucket.put(f"{i}.jpg", photo(i)[:300])
    out, _ = (process := start(bucket.name)).communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert "100% failed" in out


def test_a_missing_setting_is_named_and_exits_with_2(
    bucket: FilledBucket, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # away from any .env
    _, err = (process := start(bucket.name, SUPABASE_URL="nonsense")).communicate(
        timeout=PATIENCE_SECONDS
    )
    assert process.returncode == 2
    assert "SUPABASE_URL = 'nonsense' is invalid" in err
    assert bucket.stack.service_key not in err


def test_ctrl_c_cancels_the_run(bucket: FilledBucket, start: Start) -> None:
    bucket.fill(1_500)
    process = start(bucket.name, **SLOWLY)
    bucket.wait_for_downloads(50)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert out.startswith("Cancelled: ")
    assert bucket.latest_run()["status"] == "cancelled"


@pytest.mark.parametrize("level", ["INFO", "ERROR"], ids=["all it logs", "its own lines"])
def test_a_run_whose_output_nobody_reads_goes_on(bucket: FilledBucket, level: str) -> None:
    bucket.fill(3)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        subprocess.run(
            [sys.executable, "-m", "flows", "backfill", json.dumps({"bucket": bucket.name})],
            env=prefect_environment() | {"PREFECT_LOGGING_LEVEL": level},
            stdout=writing,
            stderr=writing,
            check=True,
        )
    finally:
        os.close(writing)
    assert runs_of(bucket) == ["completed"]
    assert len(bucket.rows()) == 3


def runs_of(bucket: FilledBucket) -> list[str]:
    """The statuses of the bucket's runs."""
    found = bucket.query(
        "select status from public.media_enrich_runs where bucket = $1", bucket.name
    )
    return [str(run["status"]) for run in found]


def at_once(_: FilledBucket, __: str) -> bool:
    return True


def the_flow_starts(_: FilledBucket, mark: str) -> bool:
    return len(marked(mark)) > 1


def it_runs(bucket: FilledBucket, _: str) -> bool:
    return bool(runs_of(bucket))


def it_downloads(bucket: FilledBucket, _: str) -> bool:
    return bool(bucket.downloads())


@pytest.mark.parametrize("moment", [at_once, the_flow_starts, it_runs, it_downloads])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_it(
    bucket: FilledBucket,
    start: Start,
    moment: Callable[[FilledBucket, str], bool],
    how: signal.Signals,
) -> None:
    bucket.fill(1_500)
    mark = uuid4().hex
    process = start(bucket.name, TEST_MARK=mark, **SLOWLY)
    wait_for(lambda: moment(bucket, mark), "it does not get so far")
    below = psutil.Process(process.pid).children(recursive=True)

    process.send_signal(how)
    process.communicate(timeout=PATIENCE_SECONDS)

    wait_until_gone(below)
    wait_for(lambda: not marked(mark), lambda: f"still running: {marked(mark)}")
    assert set(runs_of(bucket)) <= {"cancelled"}


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "1"}, "PREFECT_API_URL is not set"),
        ({"PREFECT_API_URL": "http://127.0.0.1:9/api"}, "Check PREFECT_API_URL"),
    ],
    ids=["none that starts in time", "one that does not answer"],
)
def test_without_a_prefect_server_one_sentence_says_what_to_do(
    migrated_stack: LocalStack, tmp_path: Path, environment: dict[str, str], told: str
) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    mark = uuid4().hex
    done = subprocess.run(
        [str(Path(sys.executable).with_name("media-enricher")), "backfill", "any"],
        env=clean
        | migrated_stack.environment()
        | {"PREFECT_HOME": str(tmp_path), "COLUMNS": "400", "TEST_MARK": mark}
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert told in done.stdout
    assert len((done.stdout + done.stderr).splitlines()) == 1
    assert not marked(mark)


def test_nothing_outlives_it_without_a_prefect_server(
    migrated_stack: LocalStack, tmp_path: Path
) -> None:
    """Prefect then starts a server for the run, which is a child of a child."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    mark = uuid4().hex
    process = processes.spawn(
        [Path(sys.executable).with_name("media-enricher"), "backfill", "any"],
        env=clean
        | migrated_stack.environment()
        | {"PREFECT_HOME": str(tmp_path), "TEST_MARK": mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: len(marked(mark)) > 2, "no server is started")

    process.kill()
    process.wait()

    wait_for(lambda: not marked(mark), lambda: f"still running: {marked(mark)}")
