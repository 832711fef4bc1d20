"""A person's wish that a run stop: SIGINT for `python -m flows`, Prefect's SIGTERM for a worker's.

Both become an exception in the flow's own code, and come again until that has heard them.
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
    """In no place: an interruption waits for the work of the run, which can be cancelled."""
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
    """What handles SIGINT in this process, if it is ours: under a worker there is none."""
    handler = signal.getsignal(signal.SIGINT)
    return handler if isinstance(handler, Interruption) else None


def until_heard() -> Repeater:
    """While it is open, Prefect's SIGTERM comes again until the flow's code has heard it.

    Prefect's handler raises `TerminationSignal` wherever Python is, which may be where exceptions
    are ignored. The handler stays Prefect's: a supervisor asks whether it is in place.
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
    """See to it that a KeyboardInterrupt leaves as one.

    A library that is interrupted while it calls back into Python may make an error of its own of
    it, as Pydantic's serializer does, or a cancellation, as an event loop; what was asked for would
    then look like a failure or a crash.

    Raises:
        KeyboardInterrupt: in place of whatever left while the flow was being stopped.
    """
    try:
        yield
    except BaseException as error:
        stop = interruption()
        if stop is not None and stop.is_raised:
            raise KeyboardInterrupt from error
        raise
