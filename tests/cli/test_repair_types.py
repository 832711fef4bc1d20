"""What `media-enricher repair-types` does beside the flow itself, which tests/flows runs."""

from __future__ import annotations

import importlib

import pytest
from typer.testing import CliRunner

from media_enricher.cli import app
from media_enricher.cli.backfill import Ended

# By its full name, for the package has the command under the same.
command = importlib.import_module("media_enricher.cli.repair_types")


@pytest.mark.parametrize("exit_code", [0, 1, 130])
def test_it_runs_the_flow_and_says_how_that_ended(
    monkeypatch: pytest.MonkeyPatch, exit_code: int
) -> None:
    started: list[object] = []

    def run_flow(name: str, parameters: object, *, verbose: bool) -> Ended:
        started.extend((name, parameters, verbose))
        return Ended("id", exit_code, "2 of 2 content types repaired")

    monkeypatch.setenv("SUPABASE_URL", "http://localhost:1")
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "sb_secret_any")
    monkeypatch.setattr(command, "run_flow", run_flow)
    command.supabase_settings.cache_clear()
    asked = ["repair-types", "photos", "--prefix", "a/", "--limit", "3", "--dry-run"]
    result = CliRunner().invoke(app, asked)
    command.supabase_settings.cache_clear()
    assert (result.exit_code, result.stdout) == (exit_code, "2 of 2 content types repaired\n")
    parameters = {"bucket": "photos", "prefix": "a/", "limit": 3, "dry_run": True}
    assert started == ["repair-types", parameters, False]
