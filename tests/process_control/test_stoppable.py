"""The end of a block stops what runs, whether or not the block raised."""

from __future__ import annotations

import pytest

from process_control.stoppable import Stoppable


class Running(Stoppable):
    """Counts how often it was stopped."""

    def __init__(self) -> None:
        self.stops = 0

    def stop(self) -> None:
        self.stops += 1


def test_the_end_of_the_block_stops_it() -> None:
    with Running() as running:
        assert running.stops == 0
    assert running.stops == 1


def test_an_error_stops_it_and_goes_on() -> None:
    running = Running()
    with pytest.raises(KeyboardInterrupt), running:
        raise KeyboardInterrupt
    assert running.stops == 1
