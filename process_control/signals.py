"""Signals that ask this process to stop. None of them is lost.

An exception that a signal handler raises can be lost. Python ignores it in a callback around a
fork, in a `__del__` and in a callback of the garbage collector; `except BaseException` catches it.
And a signal that comes just before a blocking call is handled only after that call. So a signal is
sent again, several times a second, until it was heard. That is when its exception has left the
block that waits for it, or when `hear` is called.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

STOPPING = (signal.SIGINT, signal.SIGTERM)
AGAIN_SECONDS = 0.1
FORWARD_SECONDS = 0.3


class Repeater:
    """A context manager: a signal that comes within its block is passed on until it is heard.

    It learns of a signal from the kernel's notice (`signal.set_wakeup_fd`), so it also knows of
    signals whose handler has not run yet. Off the main thread, where there are no handlers, it does
    nothing.
    """

    def __init__(
        self,
        signals: tuple[signal.Signals, ...],
        again: Callable[[int], object],
        *,
        every: float = AGAIN_SECONDS,
    ) -> None:
        """Watches nothing yet.

        Args:
            signals: the signals to pass on.
            again: called with the signal's number, on a thread of its own, again and again.
            every: seconds between two calls, and before the first.
        """
        self._signals = signals
        self._again = again
        self._every = every
        self._pending: int | None = None
        self._thread: threading.Thread | None = None

    def hear(self) -> None:
        """Stop passing on the signals that came until now."""
        self._pending = None

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._thread = threading.Thread(
            target=self._watch, args=(reading,), name="signals", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread is None:
            return
        signal.set_wakeup_fd(self._before, warn_on_full_buffer=False)
        os.close(self._writing)
        self._thread.join()  # from here on nothing is sent to the handlers from before
        self._thread = None

    def _watch(self, reading: int) -> None:
        with open(reading, "rb", buffering=0) as notices:
            while True:
                wait = None if self._pending is None else self._every
                if select.select([notices], [], [], wait)[0]:
                    came = notices.read(64)
                    if not came:
                        return
                    self._take(came)
                elif (number := self._pending) is not None:
                    self._again(number)

    def _take(self, came: bytes) -> None:
        if self._before >= 0:  # code around this block listens, too
            os.write(self._before, came)
        for number in came:
            if number in self._signals and self._pending is None:
                self._pending = number


class Interruption:
    """A context manager: a signal raises KeyboardInterrupt in its block, until the block is left.

    After such a signal the process is about to end, so from the end of the block on it ignores
    these signals: a second Ctrl-C does not disturb the end that the first asked for. While the
    exception passes the block's `finally` and `with`, further signals raise nothing.

    Attributes:
        is_asked: whether a signal came.
        is_raised: whether it was raised at least once.
        raises: if set to False, a signal is noted (`is_asked`) and nothing else happens.
        when: tells whether it may be raised in the frame that is being executed; None: anywhere.
    """

    def __init__(
        self,
        signals: tuple[signal.Signals, ...] = STOPPING,
        *,
        when: Callable[[FrameType | None], bool] | None = None,
    ) -> None:
        self.is_asked = False
        self.is_raised = False
        self.raises = True
        self._is_heard = False
        self.when = when
        self._signals = signals
        self._handlers: dict[signal.Signals, Any] = {}
        self._main_thread = threading.main_thread().ident
        self._repeater = Repeater(signals, self._send_again)

    def hear(self) -> None:
        """Raise nothing from here on: the process ends, or will, without an exception."""
        self._is_heard = True
        self.raises = False
        self._repeater.hear()

    def ask(self) -> None:
        """Act as if a signal had come. Other threads may call it."""
        send_to_main_thread(self._signals[0])

    def __call__(self, _signal_number: int, frame: FrameType | None) -> None:
        """Handle a signal.

        Raises:
            KeyboardInterrupt: unless it is on its way already.
        """
        self.is_asked = True
        if not self.raises or _is_under_way(sys.exc_info()[1], KeyboardInterrupt):
            return
        if self.when is None or self.when(frame):
            self.is_raised = True
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        self._repeater.__enter__()
        for each in self._signals:
            self._handlers[each] = signal.signal(each, self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.raises = False
        self._repeater.__exit__(kind, error, trace)
        if not self.is_asked:
            for each, handler in self._handlers.items():
                signal.signal(each, handler)
        if self.is_asked:  # also if it came within the last lines
            for each in self._signals:
                signal.signal(each, signal.SIG_IGN)
            if not self._is_heard and (kind is None or issubclass(kind, Exception)):
                raise KeyboardInterrupt from error

    def _send_again(self, number: int) -> None:
        if self.raises and not is_leaving(self._main_thread, KeyboardInterrupt):
            send_to_main_thread(number)


class Forwarding:
    """A context manager: a signal in its block raises nothing, and is passed on until its end.

    Attributes:
        is_asked: whether a signal came.
        pass_on: called on a thread of its own, again and again. Set it once there is a receiver.
    """

    def __init__(self, signals: tuple[signal.Signals, ...] = STOPPING) -> None:
        self.is_asked = False
        self.pass_on: Callable[[], object] = lambda: None
        self._signals = signals
        self._handlers: dict[signal.Signals, Any] = {}
        self._repeater = Repeater(signals, lambda _: self.pass_on(), every=FORWARD_SECONDS)

    def __enter__(self) -> Self:
        self._repeater.__enter__()
        for each in self._signals:
            self._handlers[each] = signal.signal(each, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._repeater.__exit__(kind, error, trace)
        for each, handler in self._handlers.items():
            signal.signal(each, handler)

    def _note(self, _signal_number: int, _frame: FrameType | None) -> None:
        self.is_asked = True


def is_leaving(thread: int | None, *kinds: type[BaseException]) -> bool:
    """Whether a thread is handling an exception of these kinds, or one that came of it."""
    handled: Any = sys._current_exceptions().get(thread or 0)
    error = handled[1] if isinstance(handled, tuple) else handled  # a tuple until Python 3.12
    return _is_under_way(error, *kinds)


def send_to_main_thread(number: int) -> None:
    """Have the handler of a signal called, even if the main thread is in a blocking call."""
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, number)


def _is_under_way(error: BaseException | None, *kinds: type[BaseException]) -> bool:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, kinds):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False
