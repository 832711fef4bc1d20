"""`media-enricher runs` tells what ran, what is running, and how long it will go on."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from media_enricher.cli import app
from media_enricher.models import ErrorCode
from media_enricher.settings import supabase_settings
from media_enricher.supabase.assets import AssetTable
from media_enricher.supabase.client import connect
from media_enricher.supabase.runs import RunTable
from tests import recording
from tests.conftest import Put
from tests.snapshot.records import failure

pytestmark = pytest.mark.usefixtures("migrated_stack", "supabase_environment")


def runs(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["runs", *arguments], env={"COLUMNS": "200"})


def record(*, ago: timedelta = timedelta(0), **columns: Any) -> str:
    """A run that started `ago`, and has been running since unless the columns say otherwise."""
    run_id = str(uuid4())
    started_at = datetime.now(UTC) - ago
    RunTable(connect(supabase_settings())).record(
        run_id, **{"bucket": "photos", "status": "running", "started_at": started_at} | columns
    )
    return run_id


def test_runs_are_listed_newest_first_and_no_more_than_asked_for() -> None:
    older = record(ago=timedelta(minutes=5))
    newer = record(ago=timedelta(minutes=-5))
    newest = record(ago=timedelta(minutes=-10), bucket="[red]scans", prefix="a/")

    listed = runs("--limit", "2")

    assert listed.exit_code == 0, listed.output
    lines = listed.stdout.splitlines()
    assert newest in lines[1]
    assert "[red]scans/a/" in lines[1]
    assert newer in lines[2]
    assert older not in listed.stdout
    assert [run["id"] for run in json.loads(runs("--limit", "2", "--json").stdout)] == [
        newest,
        newer,
    ]


def test_a_running_run_shows_its_pace_and_what_is_left() -> None:
    run_id = record(
        ago=timedelta(seconds=100),
        total_files=1_000,
        processed_files=250,
        succeeded=240,
        failed=7,
        skipped=3,
    )

    shown = runs(run_id).stdout

    assert "250 of 1,000: 240 enriched, 7 failed, 3 unsupported" in shown
    assert re.search(r"2\.[45] objects/s, 1 min 4\d s so far, about 5 min( \d+ s)? left", shown)


def test_an_ended_run_shows_how_it_ended_and_where_its_snapshot_is() -> None:
    ago = timedelta(hours=2)
    run_id = record(
        ago=ago,
        total_files=1_000,
        processed_files=1_000,
        failed=1_000,
        status="failed",
        error="100% failed [corrupt]",
        finished_at=datetime.now(UTC) - ago + timedelta(seconds=40),
        snapshot_path="bucket:snapshots/bucket=photos",
        mode="all",
        max_files=1_000,
    )

    shown = runs(run_id).stdout

    assert re.search(r"25 objects/s, 40 s *$", shown, re.MULTILINE)
    assert "100% failed [corrupt]" in shown
    assert "bucket:snapshots/bucket=photos" in shown
    assert f"media-enricher snapshot {run_id}" in shown
    assert "mode all, depth full, at most 1,000 objects" in shown
    assert "left" not in shown


def test_failures_of_a_run_are_counted_by_reason_with_an_example(
    make_bucket: Callable[[], str], put: Put
) -> None:
    bucket = make_bucket()
    run_id, another = (record(bucket=bucket) for _ in range(2))
    failed = [
        failure("a.jpg", ErrorCode.TIMEOUT, bucket=bucket),
        failure("b (1).jpg", ErrorCode.CORRUPT, "bad [Huffman] code", bucket=bucket),
        failure("c.jpg", ErrorCode.CORRUPT, "no end", bucket=bucket),
    ]
    elsewhere = failure("d.jpg", ErrorCode.EMPTY, bucket=bucket)
    for each in [*failed, elsewhere]:
        put(bucket, each.asset.path, b"no photograph")
    table = AssetTable(connect(supabase_settings()))
    recording.record(table, run_id, [each.asset for each in failed])
    recording.record(table, another, [elsewhere.asset])

    shown = runs(run_id).stdout

    assert re.search(r"corrupt 2, for example b \(1\)\.jpg \(bad \[Huffman\] code\) *\n", shown)
    assert shown.index("corrupt 2") < shown.index("timeout 1, for example a.jpg")
    assert "empty" not in shown


def test_a_run_that_is_not_there_is_a_failure_and_no_id_is_bad_input() -> None:
    unknown = str(uuid4())

    assert runs(unknown).exit_code == 1
    assert f"There is no run {unknown}" in runs(unknown).stderr
    assert runs("the-last-one").exit_code == 2


def test_watching_a_run_ends_when_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = record(total_files=10, processed_files=1, succeeded=1)
    looks = []

    def finish_meanwhile(_: float) -> None:
        looks.append(1)
        RunTable(connect(supabase_settings())).record(
            run_id,
            status="completed",
            processed_files=10,
            succeeded=10,
            finished_at=datetime.now(UTC),
        )

    monkeypatch.setattr(time, "sleep", finish_meanwhile)

    watched = runs(run_id, "--watch")

    assert watched.exit_code == 0
    assert len(looks) == 1
    assert "completed" in watched.stdout


def test_without_settings_it_says_which_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    supabase_settings.cache_clear()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SUPABASE_SECRET_KEY")
    monkeypatch.delenv("SUPABASE_SERVICE_ROLE_KEY")

    result = runs()

    assert result.exit_code == 2
    assert "SUPABASE_SECRET_KEY is not set" in result.stderr
