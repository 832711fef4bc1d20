"""A port that somebody takes in between costs another try, not the start."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from supabase_local import LocalStackError, postgres
from supabase_local.ports import HOST, PortTakenError, free_port, on_free_ports


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


def test_a_port_that_stays_taken_is_an_error_in_the_end() -> None:
    tries = 0

    def start() -> None:
        nonlocal tries
        tries += 1
        raise PortTakenError("taken")

    with pytest.raises(LocalStackError, match="taken"):
        on_free_ports(start)
    assert tries == 3
