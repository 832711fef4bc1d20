"""Tests say by their fixtures what they need, and unit tests cannot need more."""

from __future__ import annotations

import multiprocessing
import socket
import subprocess
import sys

import pytest

from tests.needs import NEEDS, UNIT, WITHOUT_UNIT_TESTS


def test_a_test_of_no_fixture_is_a_unit_test(request: pytest.FixtureRequest) -> None:
    assert {mark.name for mark in request.node.iter_markers()} == {UNIT}


@pytest.mark.usefixtures("needs_stack", "needs_cluster")
def test_what_a_test_asks_for_is_its_mark(request: pytest.FixtureRequest) -> None:
    marks = {mark.name for mark in request.node.iter_markers()} - {"usefixtures"}
    assert marks == {"stack", "cluster"}


@pytest.mark.parametrize("need", NEEDS)
def test_every_need_is_a_fixture(need: str, request: pytest.FixtureRequest) -> None:
    manager = request.session._fixturemanager
    assert manager.getfixturedefs(f"needs_{need}", request.node)


def test_a_unit_test_reaches_a_server_of_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()


@pytest.mark.parametrize("address", [("127.0.0.1", 1), ("192.0.2.1", 443)])
def test_a_unit_test_reaches_nothing_else(address: tuple[str, int]) -> None:
    with pytest.raises(ConnectionRefusedError, match=r"this test needs a mark\. It connects to"):
        socket.create_connection(address)


def test_a_unit_test_starts_no_process() -> None:
    advice = r"it starts a process, \['postgres', '-D', '/data'\]. .*needs_processes"
    with pytest.raises(AssertionError, match=advice):
        subprocess.run(["postgres", "-D", "/data"], check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="forks are of Linux")
def test_a_unit_test_is_not_forked() -> None:
    with pytest.raises(AssertionError, match="it starts a process, a fork of this one"):
        multiprocessing.get_context("fork").Process(target=print).start()


def test_folders_that_are_left_out_are_there(pytestconfig: pytest.Config) -> None:
    tests = pytestconfig.rootpath / "tests"
    assert all((tests / folder).is_dir() for folder in WITHOUT_UNIT_TESTS)


@pytest.mark.usefixtures("needs_processes")
def test_what_only_another_target_runs_is_marked_too() -> None:
    """`make test` does not collect it, so nothing else would say that a mark is missing."""
    collected = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-m", UNIT, "tests/docker/work_pool.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert collected.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, collected.stdout
