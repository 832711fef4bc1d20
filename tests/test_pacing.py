"""How often something may begin."""

from __future__ import annotations

import time

import pytest

from media_enricher.pacing import Pacer

pytestmark = pytest.mark.unit


def test_turns_come_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    slept: list[float] = []
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(time, "sleep", slept.append)
    pacer = Pacer(per_second=4)
    for _ in range(3):
        pacer.wait()
    assert slept == [0.0, 0.25, 0.5]
    now = 200.0  # time that was not used is not made up for
    pacer.wait()
    pacer.wait()
    assert slept[3:] == [0.0, 0.25]
