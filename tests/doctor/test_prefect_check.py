"""The Prefect API is found as Prefect itself would find it, and its absence is explained."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from media_enricher.doctor.checkup import NothingToCheck
from media_enricher.doctor.prefect_check import prefect_api_answers
from media_enricher.doctor.setup import Setup, Trouble
from tests.waiting import PATIENCE_SECONDS, wait_until_it_answers


@pytest.fixture(scope="module")
def server(needs_prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API URL of a real Prefect server that asks for `doctor:secret`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    own |= {
        "PREFECT_HOME": str(tmp_path_factory.mktemp("prefect")),
        "PREFECT_SERVER_API_AUTH_STRING": "doctor:secret",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    log = tmp_path_factory.mktemp("log") / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--no-ui", "--no-services"],
            env=own,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}/api"
    try:
        wait_until_it_answers(f"{url}/health", log)
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


@pytest.fixture(autouse=True)
def _no_prefect_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("PREFECT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))


def look() -> str:
    with Setup() as setup:
        return prefect_api_answers(setup)


def test_a_server_that_takes_the_credentials_is_named_with_its_version(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server + "/")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "doctor:secret")

    assert look().startswith(f"{server}, Prefect 3.")


def test_the_profile_that_prefect_config_set_writes_is_read_too(
    server: str, tmp_path: Path
) -> None:
    (tmp_path / "profiles.toml").write_text(
        f'active = "here"\n[profiles.there]\n[profiles.here]\nPREFECT_API_URL = "{server}"\n'
        'PREFECT_API_AUTH_STRING = "doctor:secret"\n'
    )

    assert server in look()


@pytest.mark.parametrize("auth", [None, "doctor:wrong"])
def test_missing_or_wrong_credentials_are_told_from_an_absent_server(
    auth: str | None, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server)
    if auth:
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", auth)

    with pytest.raises(Trouble, match="rejected the credentials") as caught:
        look()

    assert "PREFECT_API_AUTH_STRING" in caught.value.remedy
    assert "wrong" not in str(caught.value)


def test_the_url_of_the_ui_is_not_that_of_the_api(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server.removesuffix("/api"))
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "doctor:secret")

    with pytest.raises(Trouble, match="not a Prefect API") as caught:
        look()

    assert "/api" in caught.value.remedy


def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound, and not listening: nobody answers here
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")

        with pytest.raises(Trouble, match=f"no connection to 127.0.0.1:{port}") as caught:
            look()

    assert "prefect server start" in caught.value.remedy


def test_without_a_url_it_says_what_runs_will_do() -> None:
    with pytest.raises(NothingToCheck, match="temporary Prefect server"):
        look()
