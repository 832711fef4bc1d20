"""A busy loop is measured by how late its timers are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from media_enricher.engine.loop_delay import LoopDelay


class Timers:
    """A loop that calls what is due late."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: tuple[float, Callable[[], None]] | None = None

    def clock(self) -> float:
        return self.now

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self._due = (self.now + seconds, call)

    def fire(self, *, late: float) -> None:
        assert self._due is not None
        self.now, call = self._due[0] + late, self._due[1]
        call()


def test_it_approaches_the_delay_and_comes_back() -> None:
    timers = Timers()
    delay = LoopDelay(timers.clock, timers.call_later)
    assert delay.seconds == 0
    for _ in range(100):
        timers.fire(late=0.03)
    assert delay.seconds == pytest.approx(0.03, rel=0.01)
    for _ in range(100):
        timers.fire(late=0.0)
    assert delay.seconds < 0.001
