"""A stack starts again where it ended, heals what was left half done, and outlives nobody."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from supabase_local import LocalStack, LocalStackError
from tests.waiting import PROMPT_SECONDS, living, wait_until_gone

pytestmark = pytest.mark.usefixtures("needs_stack")

# A parent that starts a stack from a thread that ends, and then waits for whatever comes.
PARENT = """
import sys, threading, time
from pathlib import Path
from supabase_local import LocalStack

def start():
    global stack
    stack = LocalStack.start(Path(sys.argv[1]))

thread = threading.Thread(target=start)
thread.start()
thread.join()
print(stack.pid, flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    stack.stop()
"""


def members(leader: int) -> list[psutil.Process]:
    """The stack's process and all its descendants."""
    try:
        process = psutil.Process(leader)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """A process that has started a stack, and the stack's processes."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "stack")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    leader = int(process.stdout.readline())
    started = members(leader)
    yield process, started
    process.kill()
    process.wait()
    process.stdout.close()
    for left in living(started):
        left.kill()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_process_outlives_the_one_that_started_it(
    parent: tuple[subprocess.Popen[str], list[psutil.Process]], how: signal.Signals
) -> None:
    process, started = parent
    names = {member.name() for member in started}
    assert {"postgres", "postgrest"} <= names
    time.sleep(1)  # longer than a stack needs to look for its parent: the thread is gone by now
    assert len(living(started)) == len(started)

    process.send_signal(how)

    wait_until_gone(started)


def test_a_killed_leader_takes_its_servers_along(tmp_path: Path) -> None:
    stack = LocalStack.start(tmp_path)
    started = members(stack.pid)

    os.kill(stack.pid, signal.SIGKILL)

    wait_until_gone(started)
    with LocalStack.start(tmp_path) as again:
        assert httpx.get(f"{again.url}/storage/v1/status").status_code == 200
    assert stack.has_ended


def test_it_comes_back_with_its_data_keys_and_ports(tmp_path: Path) -> None:
    with LocalStack.start(tmp_path) as first:
        headers = {"apikey": first.service_key}
        base = f"{first.url}/storage/v1"
        httpx.post(f"{base}/bucket", json={"name": "kept"}, headers=headers).raise_for_status()
        httpx.post(f"{base}/object/kept/a", content=b"bytes", headers=headers).raise_for_status()
        processes = members(first.pid)
    assert living(processes) == []
    assert LocalStack.find(tmp_path) is None

    started = time.monotonic()
    with LocalStack.start(tmp_path) as second:
        assert time.monotonic() - started < PROMPT_SECONDS
        assert second.environment() == first.environment()
        found = LocalStack.find(tmp_path)
        assert found
        assert found.environment() == second.environment()
        answer = httpx.get(f"{second.url}/storage/v1/object/kept/a", headers=headers)
        assert answer.content == b"bytes"


def test_a_folder_in_use_is_said_to_be(stack: LocalStack) -> None:
    with pytest.raises(LocalStackError, match=rf"running in .* already at {stack.url}"):
        LocalStack.start(stack.folder)


def test_a_taken_port_is_said_to_be_and_a_remembered_one_is_given_up(tmp_path: Path) -> None:
    with LocalStack.start(tmp_path) as stack:
        port = int(stack.url.rpartition(":")[2])
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(LocalStackError, match=f"Port {port} cannot be used"):
            LocalStack.start(tmp_path, port=port)
        with LocalStack.start(tmp_path) as elsewhere:
            assert elsewhere.url != stack.url


@pytest.mark.parametrize("leftover", ["no marker", "empty folder", "a foreign pid file"])
def test_what_an_interrupted_start_left_is_healed(tmp_path: Path, leftover: str) -> None:
    with LocalStack.start(tmp_path):
        pass
    database = tmp_path / "postgres"
    if leftover == "no marker":
        (database / "SUPABASE_BOOTSTRAPPED").unlink()
        (database / "global" / "pg_control").unlink()
    elif leftover == "empty folder":
        shutil.rmtree(database)
        database.mkdir()
    else:
        (database / "postmaster.pid").write_text(f"{os.getpid()}\n{database}\n")
        (tmp_path / "running.json").write_text('{"pid": 1, "url": "http://x:1"}')

    assert LocalStack.find(tmp_path) is None
    with LocalStack.start(tmp_path) as stack:
        answer = httpx.get(f"{stack.url}/rest/v1/", headers={"apikey": stack.service_key})
        assert answer.status_code == 200


def test_without_postgrest_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from supabase_local import postgrest

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(postgrest, "_PACKAGE", tmp_path)

    with pytest.raises(LocalStackError, match="make setup"):
        postgrest.find_postgrest()


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")

    with pytest.raises(LocalStackError, match="not a folder"):
        LocalStack.start(file)


def test_no_secret_is_in_a_repr_or_a_log(stack: LocalStack) -> None:
    shown = repr(stack) + repr(stack.users)
    for log in stack.access_log.parent.iterdir():
        shown += log.read_text(errors="replace")

    for name, secret in stack.environment().items():
        if name != "SUPABASE_URL":
            assert secret not in shown
    assert not any(user.password in shown for user in stack.users)
