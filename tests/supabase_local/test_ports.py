"""A port that somebody takes in between costs another try, not the start."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from supabase_local import LocalStackError, children, postgres
from supabase_local.ports import HOST, PortTakenError, free_port, on_free_ports
from supabase_local.server_process import ServerProcess


def test_a_port_taken_in_between_is_given_up(
    needs_stack: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        taken = other.getsockname()[1]
        ports = iter([taken, free_port()])
        monkeypatch.setattr(postgres, "free_port", lambda _: next(ports))

        server = on_free_ports(
            lambda: postgres.Postgres.start(
                tmp_path / "postgres", password="x", log=tmp_path / "log"
            )
        )
        try:
            assert server.port != taken
            assert not server.has_ended
        finally:
            server.stop()
    assert server.has_ended


class _FileServer(ServerProcess):
    what = "The file server"
    port: int

    @classmethod
    def start(cls, port: int, folder: Path) -> _FileServer:
        command = [sys.executable, "-m", "http.server", str(port), "--bind", HOST]
        log = folder / "server.log"
        server = cls(children.spawn(command, log=log), log, chosen_ports=(port,))
        server.port = port
        server._wait_until_it_answers(f"http://{HOST}:{port}/")
        return server


def test_an_answer_by_another_server_at_the_chosen_port_is_no_start(
    needs_stack: None, tmp_path: Path
) -> None:
    with _FileServer.start(free_port(), tmp_path) as other:
        ports = iter([other.port, free_port()])

        with on_free_ports(lambda: _FileServer.start(next(ports), tmp_path)) as server:
            assert not server.has_ended
            assert server.port != other.port


def test_a_port_that_stays_taken_is_an_error_in_the_end() -> None:
    tries = 0

    def start() -> None:
        nonlocal tries
        tries += 1
        raise PortTakenError("taken")

    with pytest.raises(LocalStackError, match="taken"):
        on_free_ports(start)
    assert tries == 3
