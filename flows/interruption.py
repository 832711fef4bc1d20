"""A person's wish that a run stop, which `python -m flows` gets as SIGINT."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from prefect import Flow


class StopOnce:
    """A handler of SIGINT that stops the flow's own code, and once.

    Never the engine around it: that would call a run crashed which was just done.

    Attributes:
        is_stopping: whether it has.
    """

    def __init__(self, flow: Flow[..., Any]) -> None:
        self.is_stopping = False
        self._code = flow.fn.__code__

    def __call__(self, _signal_number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt if the flow's function is among those being executed."""
        while frame is not None and frame.f_code is not self._code:
            frame = frame.f_back
        if frame is not None and not self.is_stopping:
            self.is_stopping = True
            raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[None]:
    """See to it that a KeyboardInterrupt leaves as one.

    A library that is interrupted while it calls back into Python may make an error of its own of
    it, as Pydantic's serializer does; what was asked for would then look like a failure.

    Raises:
        KeyboardInterrupt: in place of an error that left while the flow was being stopped.
    """
    try:
        yield
    except Exception as error:
        handler = signal.getsignal(signal.SIGINT)
        if isinstance(handler, StopOnce) and handler.is_stopping:
            raise KeyboardInterrupt from error
        raise
