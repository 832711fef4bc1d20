"""How tests wait: to look takes a share of the time, and the rest is for what is waited for."""

from __future__ import annotations

import time

import pytest

from tests.waiting import wait_for


class Clock:
    """Goes by what is slept, and by so many seconds for each look."""

    def __init__(self, look_seconds: float) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self._look_seconds = look_seconds

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def look(self) -> bool:
        self.now += self._look_seconds
        return False


@pytest.mark.parametrize(("look_seconds", "pause"), [(0.001, 0.05), (0.1, 0.4), (5.0, 1.0)])
def test_a_look_that_costs_much_is_taken_seldom(
    look_seconds: float, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(look_seconds)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(time, "sleep", clock.sleep)
    with pytest.raises(AssertionError, match="after 20 s: it does not come"):
        wait_for(clock.look, "it does not come", seconds=20)
    assert clock.pauses == pytest.approx([pause] * len(clock.pauses))
