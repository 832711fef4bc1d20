"""Prefect's API for flows, which are synchronous: called from any thread, with its settings."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from media_enricher.orchestration.prefect_api import run_async

_setting: ContextVar[str] = ContextVar("_setting")


async def read_setting() -> str:
    await asyncio.sleep(0)
    return _setting.get()


def test_an_async_function_sees_the_callers_context() -> None:
    _setting.set("of the caller")

    assert run_async(read_setting) == "of the caller"


def test_it_runs_where_an_event_loop_runs_already() -> None:
    async def flow() -> str:
        _setting.set("in a loop")
        return run_async(read_setting)

    assert asyncio.run(flow()) == "in a loop"


def test_its_error_is_the_callers() -> None:
    async def fail() -> None:
        raise LookupError("no deployment")

    with pytest.raises(LookupError, match="no deployment"):
        run_async(fail)
