"""`media-enricher up`, as a newcomer meets it: all of it runs, and all of it ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from media_enricher.dev.worker import QUERY_SECONDS
from supabase_local import LocalStack
from tests.cli.up import Up
from tests.flows.conftest import photo
from tests.waiting import PATIENCE_SECONDS, command_of, marked, wait_for, wait_until_gone

pytestmark = pytest.mark.usefixtures("needs_stack", "needs_prefect")

MANY = 600


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkout") / "up"


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Up]:
    up = Up(folder)
    up.wait_until_running()
    yield up
    up.process.kill()
    up.process.wait()
    up.process.stdout.close()  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def stack(running: Up, folder: Path) -> LocalStack:
    """The stack that it has started, with a bucket of many small photographs."""
    found = LocalStack.find(folder / "stack")
    assert found
    with httpx.Client(
        base_url=f"{found.url}/storage/v1",
        headers={"authorization": f"Bearer {found.service_key}"},
        timeout=60,
    ) as storage:
        storage.post("/bucket", json={"name": "many", "public": False}).raise_for_status()
        jpeg = {"content-type": "image/jpeg"}
        with ThreadPoolExecutor(8) as pool:
            for answer in pool.map(
                lambda i: storage.post(f"/object/many/{i:05}.jpg", content=photo(i), headers=jpeg),
                range(MANY),
            ):
                answer.raise_for_status()
    return found


def rows_of(stack: LocalStack, run_id: str) -> list[dict[str, Any]]:
    answer = httpx.get(
        f"{stack.url}/rest/v1/media_enrich_runs?id=eq.{run_id}",
        headers={"apikey": stack.service_key},
    )
    rows: list[dict[str, Any]] = answer.json()
    return rows


def row_of(stack: LocalStack, run_id: str) -> dict[str, Any]:
    (row,) = rows_of(stack, run_id)
    return row


def wait_until_at_work(stack: LocalStack, run_id: str) -> None:
    """Wait until a run has planned what to do."""
    wait_for(
        lambda: any(row["total_files"] for row in rows_of(stack, run_id)),
        "the run does not get to work",
    )


def test_it_says_where_everything_is(running: Up, stack: LocalStack) -> None:
    password = running.said["Prefect's password"]
    assert f"To sign in to Prefect, open its address and enter {password}" in running.output
    page = httpx.get(running.said["admin page"])
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]
    for gateway in (running.said["gateway"], running.said["gateway, by Supabase"]):
        me = httpx.get(f"{gateway}/me", headers={"authorization": f"Bearer {stack.service_key}"})
        assert me.json()["may_trigger"], me.text
    assert running.said["admin@example.com"] == f"password {stack.users.admin.password}"
    assert httpx.get(f"{running.said['Prefect']}/api/flows/count").status_code == 401


def libraries_of(process: psutil.Process) -> set[str]:
    """The compiled modules that a process has loaded: what imports spend their time on has some."""
    return {mapped.path for mapped in process.memory_maps() if mapped.path.endswith(".so")}


def test_runs_are_forked_from_a_process_that_has_imported_all(
    running: Up, stack: LocalStack
) -> None:
    members = running.members()
    (preloader,) = (each for each in members if "run_preloader" in command_of(each))
    (worker, *_) = (each for each in members if "prefect worker" in command_of(each))
    assert worker.environ()["PREFECT_WORKER_QUERY_SECONDS"] == str(QUERY_SECONDS)
    wait_for(Path(preloader.cmdline()[-1]).is_socket, "the preloader does not listen")
    imported = libraries_of(preloader)
    assert any("pyarrow" in library for library in imported)

    run_id = running.prefect.start_run("backfill/backfill", bucket="many", limit=3)
    (run,) = wait_for(preloader.children, "no run is forked", every=0.01)
    loaded: set[str] = set()

    def has_ended() -> bool:
        with suppress(psutil.NoSuchProcess):
            loaded.update(libraries_of(run))
        return not run.is_running()

    wait_for(has_ended, "the run does not end")
    assert running.prefect.state_of(run_id)["type"] == "COMPLETED", "another process runs it"
    assert loaded, "it was looked at while it ran"
    assert loaded - imported == set()
    row = row_of(stack, run_id)
    assert (row["flow"], row["status"], row["succeeded"]) == ("backfill", "completed", 3)

    run_id = running.prefect.start_run("enrich-object/enrich-object", bucket="many")
    running.prefect.wait_for_state(run_id, "COMPLETED")
    assert row_of(stack, run_id)["flow"] == "enrich-object"


def test_a_second_one_on_the_same_folder_is_refused(running: Up, folder: Path) -> None:
    second = Up(folder)
    output, _ = second.process.communicate(timeout=PATIENCE_SECONDS)
    assert second.process.returncode == 1
    assert "is running in" in output


def test_a_port_that_is_taken_is_refused(running: Up, tmp_path: Path) -> None:
    port = running.said["gateway"].removesuffix("/media-enricher").rpartition(":")[2]
    second = Up(tmp_path / "up", "--port", port)
    output, _ = second.process.communicate(timeout=PATIENCE_SECONDS)
    assert second.process.returncode == 1
    assert f"Port {port} is taken" in output


def test_ctrl_c_cancels_the_run_under_way_and_leaves_no_process(
    running: Up, stack: LocalStack, folder: Path
) -> None:
    run_id = running.prefect.start_run("backfill/backfill", bucket="many", mode="all")
    wait_until_at_work(stack, run_id)
    members = running.members()
    commands = " ".join(map(command_of, members))
    for program in ("postgres", "postgrest", "prefect server", "prefect worker", "serve"):
        assert program in commands
    assert "engine_first" in commands

    os.killpg(running.process.pid, signal.SIGINT)  # a terminal sends it to the whole group
    assert running.process.wait(timeout=PATIENCE_SECONDS) == 0
    wait_until_gone(members)
    with LocalStack.start(folder / "stack") as again:
        assert row_of(again, run_id)["status"] == "cancelled"


def test_started_again_it_is_where_it_was_and_a_killed_one_leaves_no_process(
    running: Up, folder: Path
) -> None:
    again = Up(folder)
    again.wait_until_running()
    assert again.said == running.said
    cancelled = {"type": {"any_": ["CANCELLED"]}}
    assert again.prefect.runs_of("backfill/backfill", state=cancelled), "Prefect was told, too"
    run_id = again.prefect.start_run("backfill/backfill", bucket="many", mode="all")
    again.prefect.wait_for_state(run_id, "RUNNING")
    members = again.members()

    again.process.kill()
    again.process.wait()
    wait_until_gone(members)


def test_sigterm_ends_it_as_ctrl_c_does_even_while_it_starts(tmp_path: Path) -> None:
    up = Up(tmp_path / "up")

    def several() -> list[psutil.Process]:
        started = up.members()
        return started if len(started) >= 4 else []  # servers, and what they have started

    members = wait_for(several, "nothing starts")

    up.process.terminate()

    output, _ = up.process.communicate(timeout=PATIENCE_SECONDS)
    assert up.process.returncode == 0
    assert "Stopped." in output
    wait_until_gone(members)


def test_a_project_without_its_key_is_refused_before_anything_starts(folder: Path) -> None:
    up = Up(folder, SUPABASE_URL="https://abc.supabase.co")
    output, _ = up.process.communicate(timeout=PATIENCE_SECONDS)
    assert up.process.returncode == 2
    assert "SUPABASE_SECRET_KEY is not set" in output


@pytest.mark.parametrize("count", [1, 4, 8, 12])
def test_killed_while_it_starts_it_leaves_no_process(tmp_path: Path, count: int) -> None:
    mark = uuid4().hex
    up = Up(tmp_path / "up", TEST_MARK=mark)
    wait_for(lambda: len(up.members()) >= count, "it does not get so far", every=0.01)
    below = up.members()

    up.process.kill()
    up.process.communicate(timeout=PATIENCE_SECONDS)

    wait_until_gone(below)
    wait_for(lambda: not marked(mark), lambda: f"still running: {marked(mark)}")


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        (
            {"MEDIA_ENRICHER_ENGINE_WORKERS": "many"},
            "MEDIA_ENRICHER_ENGINE_WORKERS = 'many' is invalid",
        ),
        ({"MEDIA_ENRICHER_WHO_MAY_TRIGGER": "all"}, "MEDIA_ENRICHER_WHO_MAY_TRIGGER = 'all' is"),
        ({"PREFECT_LOGGING_LEVEL": "LOUD"}, "LOUD"),
    ],
    ids=["of a run", "of the gateway", "of Prefect's"],
)
def test_a_wrong_setting_is_told_with_its_reason(
    tmp_path: Path, environment: dict[str, str], sentence: str
) -> None:
    up = Up(tmp_path / "up", **environment)
    output, _ = up.process.communicate(timeout=PATIENCE_SECONDS)
    assert up.process.returncode in {1, 2}
    assert sentence in output
    assert "Traceback" not in output
