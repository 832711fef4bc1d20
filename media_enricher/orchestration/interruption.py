"""Requests to stop a run: SIGINT for `python -m flows`, Prefect's SIGTERM under a worker.

Both become an exception in the flow's own code, and are repeated until the flow has received it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import CodeType, FrameType
from typing import Any

from prefect.exceptions import TerminationSignal

from process_control.signals import Interruption, Repeater, is_leaving, send_to_main_thread

Place = Callable[[FrameType | None], bool]
"""Where an interruption may be raised; elsewhere it waits."""


def nowhere(_: FrameType | None) -> bool:
    """Nowhere: an interruption waits until the run's work begins, which can be cancelled."""
    return False


def inside(function: Callable[..., Any]) -> Place:
    """Wherever the function is among those being executed."""
    return partial(_is_executed, function.__code__)


def outside(function: Callable[..., Any]) -> Place:
    """Wherever the function is not among those being executed."""
    return lambda frame: not _is_executed(function.__code__, frame)


def _is_executed(code: CodeType, frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame is not None


def interruption() -> Interruption | None:
    """Our handler of SIGINT in this process; None under a worker."""
    handler = signal.getsignal(signal.SIGINT)
    return handler if isinstance(handler, Interruption) else None


def until_heard() -> Repeater:
    """Repeat Prefect's SIGTERM, while open, until the flow's code has received it.

    Prefect's handler raises `TerminationSignal` wherever Python is, which may be where exceptions
    are ignored. The handler stays Prefect's, because a supervisor checks that it is installed.
    """
    main_thread = threading.main_thread().ident

    def again(number: int) -> None:
        # Without Prefect's handler, the signal would end the process.
        is_handled = callable(signal.getsignal(number))
        if is_handled and not is_leaving(main_thread, TerminationSignal, KeyboardInterrupt):
            send_to_main_thread(number)

    return Repeater((signal.SIGTERM,), again)


@contextmanager
def interruptible() -> Iterator[None]:
    """Make sure that a KeyboardInterrupt leaves as a KeyboardInterrupt.

    A library that is interrupted while it calls back into Python may turn it into an error of its
    own, as Pydantic's serializer does, or into a cancellation, as an event loop does. The requested
    stop would then look like a failure or a crash.

    Raises:
        KeyboardInterrupt: in place of any exception while the flow is being stopped.
    """
    try:
        yield
    except BaseException as error:
        stop = interruption()
        if stop is not None and stop.is_raised:
            raise KeyboardInterrupt from error
        raise
