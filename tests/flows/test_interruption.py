"""What somebody stops is not taken for what failed, wherever the signal finds the code."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, cast
from uuid import uuid4

import pytest
from prefect import Flow, flow, get_client
from prefect.exceptions import TerminationSignal
from prefect.utilities.engine import capture_sigterm
from pydantic import BaseModel, model_serializer
from pydantic_core import PydanticSerializationError

from flows.backfill import backfill
from flows.backfill_sharded import backfill_sharded
from flows.enrich_object import enrich_object
from media_enricher.models import EnrichRun, Selection
from media_enricher.orchestration import supervised
from media_enricher.orchestration.final_state import FinalState
from media_enricher.orchestration.interruption import inside, interruptible, until_heard
from media_enricher.orchestration.run import Run
from media_enricher.supabase.runs import RunTable
from process_control.signals import Interruption
from tasks.report import Progress
from tests.flows.conftest import FilledBucket
from tests.flows.test_backfill import run
from tests.flows.test_enrich_object import ask
from tests.waiting import wait_for

CANCELLED = 130


class InterruptedMeanwhile(BaseModel):
    """Its serializing calls back into Python, where the signal comes."""

    @model_serializer
    def _serialize(self) -> dict[str, bool]:
        signal.raise_signal(signal.SIGINT)
        return {"interrupted": False}


@flow
def guarded() -> None:
    with interruptible():
        InterruptedMeanwhile().model_dump()


@flow
def failing() -> None:
    with interruptible():
        raise ValueError("its own")


@flow
def bare() -> None:
    InterruptedMeanwhile().model_dump()


@pytest.fixture(autouse=True)
def _handler_restored() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_library_may_make_an_error_of_its_own_of_it() -> None:
    signal.signal(signal.SIGINT, Interruption(when=inside(bare.fn)))
    with pytest.raises(PydanticSerializationError):  # else `interruptible` is no longer needed
        bare.fn()


def test_it_is_an_interruption_all_the_same() -> None:
    signal.signal(signal.SIGINT, Interruption(when=inside(guarded.fn)))
    with pytest.raises(KeyboardInterrupt):
        guarded.fn()


def test_a_cancellation_that_a_library_makes_of_it_is_one_too() -> None:
    @flow
    def cancelled_by_a_loop() -> None:
        with interruptible():
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt as error:
                raise asyncio.CancelledError from error

    signal.signal(signal.SIGINT, Interruption(when=inside(cancelled_by_a_loop.fn)))
    with pytest.raises(KeyboardInterrupt):
        cancelled_by_a_loop.fn()


def test_an_error_that_nobody_asked_for_stays_what_it_is() -> None:
    signal.signal(signal.SIGINT, Interruption(when=inside(failing.fn)))
    with pytest.raises(ValueError, match="its own"):
        failing.fn()


def test_what_is_not_the_flow_is_not_interrupted() -> None:
    signal.signal(signal.SIGINT, Interruption(when=inside(failing.fn)))
    assert InterruptedMeanwhile().model_dump() == {"interrupted": False}


def test_once_heard_it_interrupts_no_more() -> None:
    stop = Interruption(when=inside(bare.fn))
    signal.signal(signal.SIGINT, stop)
    with pytest.raises(PydanticSerializationError):
        bare.fn()
    stop.hear()
    bare.fn()


class Deaf:
    """Where Python ignores the exception of a handler."""

    def __init__(self, number: signal.Signals) -> None:
        self._number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self._number)


@flow
def deaf() -> None:
    Deaf(signal.SIGINT)
    wait_for(lambda: False, "the signal was lost")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_one_that_python_ignored_comes_again() -> None:
    with pytest.raises(KeyboardInterrupt), Interruption(when=inside(deaf.fn)):
        deaf.fn()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_prefects_own_comes_again_too() -> None:
    def work() -> None:
        with capture_sigterm(), until_heard():
            Deaf(signal.SIGTERM)
            wait_for(lambda: False, "the signal was lost")

    before = signal.signal(signal.SIGTERM, lambda *_: None)  # Prefect passes it on to that
    try:
        with pytest.raises(TerminationSignal):
            work()
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    "stopped", [backfill, enrich_object, backfill_sharded], ids=lambda stopped: stopped.name
)
def test_a_run_is_cancelled_and_its_shards_with_it(
    bucket: FilledBucket, monkeypatch: pytest.MonkeyPatch, stopped: Flow[..., Any]
) -> None:
    with get_client(sync_client=True) as client:
        client.create_deployment(client.create_flow(backfill), name="backfill")
    bucket.fill(2)
    asked = ask(bucket, "photos/00001.jpg").request
    assert asked
    monkeypatch.setattr(Progress, "move", lambda _: InterruptedMeanwhile().model_dump())
    signal.signal(signal.SIGINT, Interruption(when=inside(stopped.fn)))

    assert run(bucket, stopped).is_cancelled()
    rows = bucket.query(
        "select flow, status from public.media_enrich_runs where bucket = $1 and id <> $2",
        bucket.name,
        asked.id,
    )
    shards = 2 * ["backfill"] if stopped is backfill_sharded else []
    assert sorted(row["flow"] for row in rows) == sorted([stopped.name, *shards])
    assert {row["status"] for row in rows} == {"cancelled"}


@pytest.mark.parametrize("moment", ["before its row is there", "after"])
def test_a_run_that_is_stopped_while_it_begins_is_cancelled(
    bucket: FilledBucket, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    bucket.fill(2)
    record = RunTable.record

    def interrupted(table: RunTable, run_id: str, **changes: Any) -> EnrichRun:
        monkeypatch.setattr(RunTable, "record", record)
        if moment == "after":
            record(table, run_id, **changes)
        signal.raise_signal(signal.SIGINT)
        return record(table, run_id, **changes)

    monkeypatch.setattr(RunTable, "record", interrupted)
    with Interruption((signal.SIGINT,)) as stop:
        assert supervised.run(backfill, {"bucket": bucket.name}, stop) == CANCELLED
    assert bucket.latest_run()["status"] == "cancelled"


def test_a_run_whose_work_is_done_is_not_stopped(bucket: FilledBucket) -> None:
    class Interrupted(ExitStack):
        def __exit__(self, *_: object) -> None:
            signal.raise_signal(signal.SIGINT)

    final_state = FinalState(Run(str(uuid4()), Selection(bucket=bucket.name)))
    final_state._signals = cast("Any", Interrupted())
    with Interruption((signal.SIGINT,)), final_state:
        pass
    assert final_state.state().is_completed()
