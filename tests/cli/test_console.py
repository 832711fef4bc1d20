"""A user's mistake ends a command with one literal sentence on stderr and a telling exit code."""

from __future__ import annotations

import pytest
import typer

from media_enricher.cli.console import BAD_INPUT, JOB_FAILED, duration, fail, rate


def test_a_failure_goes_to_stderr_whole_and_unformatted(capsys: pytest.CaptureFixture[str]) -> None:
    message = "No file [red]a.jpg[/] in " + "a/very/long/folder/" * 10

    with pytest.raises(typer.Exit) as exit_:
        fail(message)

    written = capsys.readouterr()
    assert written.err == message + "\n"
    assert written.out == ""
    assert exit_.value.exit_code == BAD_INPUT == 2


def test_a_job_that_failed_is_told_from_bad_input() -> None:
    with pytest.raises(typer.Exit) as exit_:
        fail("3 objects could not be read", JOB_FAILED)

    assert exit_.value.exit_code == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (0.42, "0.4 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (7_200, "2 h"),
        (86_399, "23 h 59 min"),
        (180_000, "2 d 2 h"),
    ],
)
def test_lengths_of_time_read_as_one_would_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(("per_second", "words"), [(0.25, "0.2"), (9.4, "9.4"), (1_385.2, "1,385")])
def test_rates_have_the_digits_that_mean_something(per_second: float, words: str) -> None:
    assert rate(per_second) == words
