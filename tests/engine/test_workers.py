"""Worker processes: what one may cost when it dies, and that none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from media_enricher.engine import EnrichPool, WorkerStartError
from media_enricher.models import AssetStatus, Depth, ErrorCode, Outcome
from process_control.process_groups import adopt_orphans
from process_control.signals import Interruption
from tests.engine.conftest import MakePool, Put, png
from tests.engine.faulty_storage import FaultyStorage
from tests.waiting import PROMPT_SECONDS, wait_for

pytestmark = pytest.mark.usefixtures("needs_processes")

KEY = "sb_secret_of_the_tests"


def codes(outcomes: list[Outcome]) -> Counter[str]:
    return Counter(str(outcome.asset.error_code or "fine") for outcome in outcomes)


@pytest.mark.usefixtures("poisonous_probe")
@pytest.mark.parametrize("depth", list(Depth))
@pytest.mark.parametrize("workers", [1, 2])
def test_a_deadly_object_costs_its_own_row_and_nothing_else(
    workers: int, depth: Depth, make_pool: MakePool, put: Put, storage: FaultyStorage
) -> None:
    objects = [put(f"{width}.png", png(width)) for width in range(1, 201)]
    objects[70] = put("segfault", b"SEGFAULT" * 100)
    objects[150] = put("exit", b"EXIT NOW" * 100)
    pool = make_pool(workers=workers)
    outcomes = pool.enrich(objects, depth)
    assert codes(outcomes) == {"fine": 198, "probe_crashed": 2}
    for index, death in ((70, "SIGSEGV"), (150, "exit status 3")):
        asset = outcomes[index].asset
        assert asset.error_code is ErrorCode.PROBE_CRASHED
        assert death in (asset.error_message or "")
        assert asset.path == objects[index].path
        assert asset.etag == objects[index].etag
    # Tried twice, once among others and once alone, but with the bytes that were there.
    assert len(storage.requests) == len(objects)
    assert codes(pool.enrich(objects[:50], depth)) == {"fine": 50}
    assert len(pool.worker_pids) == workers


@pytest.mark.usefixtures("poisonous_probe")
def test_a_probe_that_hangs_is_stopped(make_pool: MakePool, put: Put) -> None:
    objects = [put("a.png", png(1)), put("hang", b"HANG ON!"), put("b.png", png(2))]
    outcomes = make_pool(workers=1, probe_seconds=0.5).enrich(objects, Depth.FULL)
    assert [outcome.asset.status for outcome in outcomes] == ["enriched", "failed", "enriched"]
    assert outcomes[1].asset.error_code is ErrorCode.PROBE_CRASHED
    assert "0.5 seconds" in (outcomes[1].asset.error_message or "")


@pytest.mark.usefixtures("poisonous_probe")
def test_a_probe_that_uses_up_its_processor_time_is_stopped_and_not_tried_again(
    make_pool: MakePool, put: Put
) -> None:
    objects = [put(f"{width}.png", png(width)) for width in range(1, 301)]
    objects[30], objects[170] = put("spin", b"SPIN ON!"), put("spin too", b"SPIN ON! and on")
    pool = make_pool(workers=1, probe_cpu_seconds=0.3)
    outcomes = pool.enrich(objects, Depth.FULL)
    assert codes(outcomes) == {"fine": 298, "probe_crashed": 2}
    assert outcomes[30].asset.error_message == "it takes more than 0.3 seconds of processor time"


@pytest.mark.usefixtures("poisonous_probe")
def test_a_probe_that_asks_for_too_much_memory_does_not_get_it(
    make_pool: MakePool, put: Put
) -> None:
    objects = [put("a.png", png(1)), put("hungry", b"HUNGRY!!"), put("b.png", png(2))]
    outcomes = make_pool(workers=1).enrich(objects, Depth.FULL)
    assert [outcome.asset.status for outcome in outcomes] == ["enriched", "failed", "enriched"]
    assert outcomes[1].asset.error_code is ErrorCode.TOO_MANY_PIXELS
    assert "416 MB" in (outcomes[1].asset.error_message or "")


@pytest.mark.usefixtures("poisonous_probe")
def test_a_deadly_object_is_known_among_small_ones_that_are_probed_beside_it(
    make_pool: MakePool, put: Put, storage: FaultyStorage
) -> None:
    objects = [put(f"{width}.png", png(width)) for width in range(1, 101)]
    objects[50] = put("segfault", b"SEGFAULT" + b"\0" * 1_000_000)
    outcomes = make_pool(workers=1).enrich(objects, Depth.FULL)
    assert codes(outcomes) == {"fine": 99, "probe_crashed": 1}
    assert outcomes[50].asset.error_code is ErrorCode.PROBE_CRASHED
    assert len(storage.requests_for("b/segfault")) == 1


@pytest.mark.usefixtures("poisonous_probe")
@pytest.mark.parametrize("bytes_that", [b"NO UTF-8", b"NO JSON!"])
def test_findings_that_cannot_be_said_cost_one_row(
    bytes_that: bytes, make_pool: MakePool, put: Put
) -> None:
    objects = [put("a.png", png(1)), put("odd", bytes_that), put("b.png", png(2))]
    outcomes = make_pool(workers=1).enrich(objects, Depth.FULL)
    assert [outcome.asset.status for outcome in outcomes] == ["enriched", "failed", "enriched"]
    assert outcomes[1].asset.error_code is ErrorCode.PROBE_CRASHED
    assert outcomes[1].asset.path == "odd"


@pytest.mark.usefixtures("poisonous_probe")
def test_an_exception_in_a_probe_costs_one_row(make_pool: MakePool, put: Put) -> None:
    pool = make_pool(workers=1)
    pool.enrich([put("a.png", png(1))], Depth.FULL)
    before = pool.worker_pids
    (outcome,) = pool.enrich([put("buggy", b"BUGGY !!")], Depth.FULL)
    assert outcome.asset.error_code is ErrorCode.PROBE_CRASHED
    assert outcome.asset.error_message == "ZeroDivisionError: division by zero"
    assert pool.worker_pids == before


def test_a_killed_worker_is_replaced_and_its_work_done_again(
    make_pool: MakePool, put: Put, storage: FaultyStorage
) -> None:
    """As when the kernel runs out of memory, or an operator of patience."""
    objects = [put(f"{width}.png", png(width)) for width in range(1, 401)]
    storage.delay_seconds = 0.02
    pool = make_pool(workers=2)
    pool.enrich(objects[:1], Depth.FULL)
    (first, second) = pool.worker_pids
    killer = threading.Timer(0.1, os.kill, (first, signal.SIGKILL))
    killer.start()
    outcomes = pool.enrich(objects, Depth.FULL)
    killer.join()
    assert [outcome.asset.width for outcome in outcomes] == list(range(1, 401))
    assert {outcome.asset.status for outcome in outcomes} == {AssetStatus.ENRICHED}
    wait_for(lambda: len(pool.worker_pids) == 2)
    assert first not in pool.worker_pids
    assert second in pool.worker_pids
    assert len(storage.requests) < 600, "only what the dead worker had in hand is read again"


def test_workers_that_cannot_start_are_an_error_that_says_why(
    make_pool: MakePool, put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules['aiohttp'] = None  # as if it were not installed\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    one = put("a.png", png(1))
    pool = make_pool(workers=2)
    with pytest.raises(WorkerStartError, match="aiohttp"):
        pool.enrich([one], Depth.FULL)
    with pytest.raises(WorkerStartError):
        pool.enrich([one], Depth.FULL)


def test_ctrl_c_is_not_for_workers(make_pool: MakePool, put: Put) -> None:
    pool = make_pool(workers=1)
    one = put("a.png", png(1))
    pool.enrich([one], Depth.FULL)
    before = pool.worker_pids
    os.kill(before[0], signal.SIGINT)
    assert pool.enrich([one], Depth.FULL)[0].asset.width == 1
    assert pool.worker_pids == before


def test_the_key_is_neither_in_arguments_nor_in_the_environment_nor_in_a_repr(
    make_pool: MakePool, put: Put, storage: FaultyStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_SECRET_KEY", KEY)
    monkeypatch.setenv("DATABASE_URL", f"postgresql://postgres:{KEY}@localhost/postgres")
    pool = make_pool(workers=1)
    pool.enrich([put("a.png", png(1))], Depth.FULL)
    worker = psutil.Process(pool.worker_pids[0])
    assert KEY not in " ".join(worker.cmdline())
    assert KEY not in str(worker.environ())
    assert KEY not in repr(pool._options)
    assert "sb_secret" not in str(pool._options.__rich_repr__())
    assert storage.requests[0].headers["Authorization"] == f"Bearer {KEY}"
    assert storage.requests[0].headers["apikey"] == KEY


PARENT = """
    import sys, threading
    from media_enricher.engine import EngineOptions, EnrichPool
    from media_enricher.models import Depth, StorageObject
    from media_enricher.probe import ProbeOptions

    probe = ProbeOptions(max_pixels=1000000, location=False, exif_tags=())
    pool = EnrichPool(EngineOptions(
        supabase_url=sys.argv[1], service_key="k", workers=2, probe=probe, silence_seconds=60,
    ))
    start = threading.Thread(target=pool.start)  # a thread that ends long before the workers do
    start.start()
    start.join()
    pool.enrich([StorageObject(bucket="b", path="a.png")], Depth.FULL)
    print(*pool.worker_pids, flush=True)
    {then}
"""


def start_parent(
    storage: FaultyStorage, then: str, *, start_new_session: bool = False
) -> tuple[subprocess.Popen[str], list[int]]:
    script = textwrap.dedent(PARENT).format(then=then)
    parent = subprocess.Popen(
        [sys.executable, "-c", script, storage.url],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=start_new_session,
    )
    assert parent.stdout is not None
    return parent, [int(pid) for pid in parent.stdout.readline().split()]


BUSY = """
    while True:
        pool.enrich([StorageObject(bucket="b", path="a.png")] * 1000, Depth.FULL)
"""


HANGING = """
    pool.enrich([StorageObject(bucket="b", path="hang")], Depth.FULL)
"""


@pytest.mark.usefixtures("poisonous_probe")
@pytest.mark.parametrize(
    "then",
    ["threading.Event().wait()", BUSY.strip(), HANGING.strip()],
    ids=["idle", "busy", "hanging"],
)
def test_no_worker_survives_a_killed_parent(then: str, storage: FaultyStorage, put: Put) -> None:
    put("a.png", png(1))
    put("hang", b"HANG ON!")
    parent, workers = start_parent(storage, then.replace("\n", "\n    "))
    assert len(workers) == 2
    assert all(psutil.pid_exists(worker) for worker in workers)
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(map(is_running, workers)), seconds=PROMPT_SECONDS)


def test_no_worker_survives_a_parent_that_ends_without_closing(
    storage: FaultyStorage, put: Put
) -> None:
    put("a.png", png(1))
    parent, workers = start_parent(storage, "pass")
    assert parent.wait(PROMPT_SECONDS) == 0
    wait_for(lambda: not any(map(is_running, workers)), seconds=PROMPT_SECONDS)


STOPPED = """
import contextlib, signal

def stop(*_):
    raise SystemExit

signal.signal(signal.SIGTERM, stop)
with contextlib.closing(pool):
    print("ready", flush=True)
    signal.pause()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux only")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_who_waits_for_the_end_of_a_run_waits_for_no_orphan(
    how: signal.Signals, storage: FaultyStorage, put: Put
) -> None:
    """Prefect ends a run's process group, and waits until it is empty.

    In a container, Prefect is process 1, too: it gets the run's orphans, and reaps none of them.
    """
    adopt_orphans()  # as process 1 does
    put("a.png", png(1))
    run, workers = start_parent(storage, STOPPED, start_new_session=True)
    assert len(workers) == 2
    assert run.stdout
    assert run.stdout.readline() == "ready\n"
    os.killpg(run.pid, how)
    run.wait()
    assert not is_left(run.pid), "a process of the engine is in the run's group, dead or alive"
    if how == signal.SIGTERM:  # it ended in order
        assert not any(map(is_left, workers)), "what the workers started was not reaped"
    for worker in workers:  # those of a killed run die by themselves; now they are orphans of ours
        with suppress(ChildProcessError):
            while os.waitpid(-worker, 0):
                pass


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux only")
def test_nothing_is_left_of_a_worker_that_was_killed_alone(make_pool: MakePool, put: Put) -> None:
    """As by the kernel when memory runs out. A run of days must not collect its zombies."""
    one = put("a.png", png(1))
    pool = make_pool(workers=1)
    pool.enrich([one], Depth.FULL)
    (worker,) = pool.worker_pids
    assert len(psutil.Process(worker).children(recursive=True)) == 2
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: pool.worker_pids not in ([], [worker]), "the worker is not replaced")
    assert not is_left(worker)
    assert pool.enrich([one], Depth.FULL)[0].asset.width == 1


def test_close_leaves_no_worker(make_pool: MakePool, put: Put) -> None:
    with make_pool(workers=2) as pool:
        pool.enrich([put("a.png", png(1))], Depth.FULL)
        workers = pool.worker_pids
    assert not any(map(is_running, workers))
    assert not pool.worker_pids


def test_an_interrupted_caller_leaves_the_pool_usable(
    make_pool: MakePool, put: Put, storage: FaultyStorage
) -> None:
    """Ctrl-C while the main thread waits.

    One signal is not enough: Python ignores the exception if the signal comes during a callback of
    the garbage collector, and Hypothesis installs one. `Interruption` sends it again.
    """
    objects = [put(f"{width}.png", png(width)) for width in range(1, 501)]
    many = objects * 20
    pool: EnrichPool = make_pool(workers=1)
    pool.enrich(objects[:1], Depth.FULL)
    read_before = len(storage.requests)

    def interrupt() -> None:
        wait_for(lambda: len(storage.requests) > read_before)
        stop.ask()

    sender = threading.Thread(target=interrupt)
    sender.start()
    with pytest.raises(KeyboardInterrupt), Interruption((signal.SIGINT,)) as stop:
        pool.enrich(many, Depth.FULL)
    sender.join()
    assert stop.is_raised
    assert len(storage.requests) < len(many), "it was interrupted before its end"
    assert [o.asset.width for o in pool.enrich(objects[:3], Depth.FULL)] == [1, 2, 3]


def is_left(group: int) -> bool:
    """Whether a member of a process group is left. A zombie is."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_workers_start_when_there_is_work_for_them(make_pool: MakePool, put: Put) -> None:
    pool = make_pool(workers=2)
    pool.start(first_workers=1)
    objects = [put(f"{width}.png", png(width)) for width in range(1, 10)]
    assert codes(pool.enrich(objects[:1], Depth.FULL)) == {"fine": 1}
    assert len(pool.worker_pids) == 1
    assert codes(pool.enrich(objects, Depth.FULL)) == {"fine": 9}
    assert len(pool.worker_pids) == 2


def test_the_other_workers_start_when_they_are_asked_for(make_pool: MakePool) -> None:
    pool = make_pool(workers=3)
    pool.start(first_workers=1)
    pool.start(first_workers=2)
    wait_for(lambda: len(pool.worker_pids) == 2)
    pool.start()
    wait_for(lambda: len(pool.worker_pids) == 3)
    pool.start(first_workers=1)
    assert len(pool.worker_pids) == 3
