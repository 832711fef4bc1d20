"""What code that runs in a decoder can get hold of: nothing that it was not given."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from media_enricher.models import Depth, ErrorCode
from tests.engine.conftest import MakePool, Put, png
from tests.engine.faulty_storage import FaultyStorage

pytestmark = pytest.mark.usefixtures("needs_processes")

KEY = "sb_secret_of_the_tests"
ATTACK = Path(__file__).parent / "attack"


@pytest.fixture
def attacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoders that run `attack/sitecustomize.py`'s code on bytes that say so."""
    monkeypatch.setenv("PYTHONPATH", str(ATTACK))
    for name in ("SUPABASE_SECRET_KEY", "DATABASE_URL", "MEDIA_ENRICHER_WEBHOOK_SECRET"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("A_NAME_THAT_NOBODY_THOUGHT_OF", KEY)


@pytest.mark.usefixtures("attacked")
def test_code_in_a_decoder_finds_no_key_and_opens_nothing(
    make_pool: MakePool, put: Put, storage: FaultyStorage
) -> None:
    pool = make_pool(workers=1)
    attack = put("attack", b"ATTACK!!" + storage.url.encode())
    objects = [put("a.png", png(1)), attack, put("b.png", png(2))]
    before, attacked, after = pool.enrich(objects, Depth.FULL)
    assert (before.asset.width, after.asset.width) == (1, 2)
    assert attacked.asset.title is not None, attacked.asset.error_message
    succeeded = json.loads(attacked.asset.title)
    assert succeeded == [], "what the code in the decoder could do"
    assert len(storage.requests) == len(objects), "nothing was asked of Storage but the objects"


@pytest.mark.usefixtures("attacked")
@pytest.mark.parametrize("takes_over", [b"SILENCE!", b"FLOODING"])
def test_a_decoder_that_was_taken_over_does_not_hold_up_its_worker(
    takes_over: bytes, make_pool: MakePool, put: Put, storage: FaultyStorage
) -> None:
    """It says that it is at nothing, so that none can be blamed; or never ends a message."""
    objects = [put(f"{width}.png", png(width)) for width in range(1, 9)]
    objects[4] = put("attack", takes_over)
    outcomes = make_pool(workers=1, probe_seconds=1.0).enrich(objects, Depth.FULL)
    codes = [outcome.asset.error_code for outcome in outcomes]
    assert codes == [None] * 4 + [ErrorCode.PROBE_CRASHED] + [None] * 3
    assert len(storage.requests) == len(objects), "nothing is downloaded again"


@pytest.mark.usefixtures("attacked")
def test_no_process_of_the_engine_is_given_the_environment(make_pool: MakePool, put: Put) -> None:
    pool = make_pool(workers=1)
    pool.enrich([put("a.png", png(1))], Depth.FULL)
    worker = psutil.Process(pool.worker_pids[0])
    engine = [worker, *worker.children(recursive=True)]
    assert len(engine) == 3, "the worker, the fork server of decoders, and the decoder"
    for process in engine:
        assert KEY not in str(process.environ())
        assert KEY not in str(process.cmdline())
