"""A user's mistake ends a command with one literal sentence on stderr and a telling exit code."""

from __future__ import annotations

import pytest
import typer

from media_enricher.cli.console import BAD_INPUT, JOB_FAILED, fail


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
