"""A server that does not start says why, in the error itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from media_enricher.dev.gateway_process import GatewayProcess
from media_enricher.dev.prefect_server import PrefectServer
from media_enricher.dev.setup_process import SetupProcess
from supabase_local import LocalStackError
from supabase_local.ports import free_port

pytestmark = pytest.mark.usefixtures("needs_stack", "needs_prefect")

WRONG = {"SUPABASE_URL": "nonsense", "SUPABASE_SECRET_KEY": "sb_secret_x"}
SENTENCE = "SUPABASE_URL = 'nonsense' is invalid"


def test_the_gateway(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    log.write_text("an error of the last start\n")
    with (
        GatewayProcess.start(free_port(), log, WRONG) as gateway,
        pytest.raises(LocalStackError, match=f"The gateway did not start: {SENTENCE}"),
    ):
        gateway.wait_until_ready()


def test_the_set_up(tmp_path: Path) -> None:
    setup = SetupProcess.start(tmp_path / "setup.log", WRONG, wait_seconds=0)
    with pytest.raises(LocalStackError, match=SENTENCE):
        setup.wait()


def test_the_prefect_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_SERVER_API_KEEPALIVE_TIMEOUT", "long")
    with (
        PrefectServer.start(tmp_path) as server,
        pytest.raises(LocalStackError, match=r"The Prefect server did not start: .*\S"),
    ):
        server.wait_until_ready()
