"""What somebody stops is not taken for what failed, wherever the signal finds the code."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from prefect import Flow, flow, get_client
from pydantic import BaseModel, model_serializer
from pydantic_core import PydanticSerializationError

from flows.backfill import backfill
from flows.backfill_sharded import backfill_sharded
from flows.enrich_object import enrich_object
from flows.interruption import StopOnce, interruptible
from tasks.report import Progress
from tests.flows.conftest import FilledBucket
from tests.flows.test_backfill import run
from tests.flows.test_enrich_object import ask


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
    signal.signal(signal.SIGINT, StopOnce(bare))
    with pytest.raises(PydanticSerializationError):  # else `interruptible` is no longer needed
        bare.fn()


def test_it_is_an_interruption_all_the_same() -> None:
    signal.signal(signal.SIGINT, StopOnce(guarded))
    with pytest.raises(KeyboardInterrupt):
        guarded.fn()


def test_an_error_that_nobody_asked_for_stays_what_it_is() -> None:
    signal.signal(signal.SIGINT, StopOnce(failing))
    with pytest.raises(ValueError, match="its own"):
        failing.fn()


def test_what_is_not_the_flow_is_not_interrupted() -> None:
    signal.signal(signal.SIGINT, StopOnce(failing))
    assert InterruptedMeanwhile().model_dump() == {"interrupted": False}


def test_it_interrupts_once() -> None:
    signal.signal(signal.SIGINT, StopOnce(bare))
    with pytest.raises(PydanticSerializationError):
        bare.fn()
    bare.fn()


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
    signal.signal(signal.SIGINT, StopOnce(stopped))

    assert run(bucket, stopped).is_cancelled()
    rows = bucket.query(
        "select flow, status from public.media_enrich_runs where bucket = $1 and id <> $2",
        bucket.name,
        asked.id,
    )
    shards = 2 * ["backfill"] if stopped is backfill_sharded else []
    assert sorted(row["flow"] for row in rows) == sorted([stopped.name, *shards])
    assert {row["status"] for row in rows} == {"cancelled"}
