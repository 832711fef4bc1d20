"""How late an event loop is: a busy one handles an answer some time after it has arrived."""

from __future__ import annotations

from collections.abc import Callable

_EVERY_SECONDS = 0.01
_NEW_SHARE = 0.1


class LoopDelay:
    """The mean delay of an event loop in about the last 0.1 s. For that loop alone.

    Attributes:
        seconds: the delay.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        """Measure from now on, for as long as the loop runs.

        Args:
            clock: the loop's time, in seconds.
            call_later: the loop's: has something called after some seconds.
        """
        self.seconds = 0.0
        self._clock = clock
        self._call_later = call_later
        self._wait()

    def _wait(self) -> None:
        self._due_at = self._clock() + _EVERY_SECONDS
        self._call_later(_EVERY_SECONDS, self._measure)

    def _measure(self) -> None:
        late = max(0.0, self._clock() - self._due_at)
        self.seconds += _NEW_SHARE * (late - self.seconds)
        self._wait()
