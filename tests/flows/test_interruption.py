"""What somebody stops is not taken for what failed, wherever the signal finds the code."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from prefect import flow
from pydantic import BaseModel, model_serializer
from pydantic_core import PydanticSerializationError

from flows.interruption import StopOnce, interruptible


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
