"""A call that is made in a thread, while its caller does something else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import TypeVar

_Result = TypeVar("_Result")


def in_background(call: Callable[[], _Result], *, name: str) -> Future[_Result]:
    """Make a call in a thread of this name, with the context of the caller.

    The thread is a daemon, so a run that is interrupted does not wait for an answer.
    """
    future: Future[_Result] = Future()

    def make() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised where the result is wanted
            future.set_exception(error)

    threading.Thread(target=copy_context().run, args=(make,), name=name, daemon=True).start()
    return future
