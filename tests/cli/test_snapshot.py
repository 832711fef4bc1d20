"""`media-enricher snapshot` prints the figures of a run that is named by its id or its address."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from media_enricher.cli import app
from media_enricher.models import ErrorCode
from media_enricher.settings import supabase_settings
from media_enricher.snapshot.writer import SnapshotWriter
from media_enricher.supabase.bucket import Bucket
from media_enricher.supabase.client import connect
from media_enricher.supabase.runs import RunTable
from tests.snapshot.records import RUN_ID, STARTED_AT, add, failure, outcome

pytestmark = pytest.mark.usefixtures("migrated_stack", "supabase_environment")


def snapshot(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["snapshot", *arguments], env={"COLUMNS": "160"})


def open_bucket(name: str) -> Bucket:
    return Bucket(connect(supabase_settings()), name)


OUTCOMES = [
    outcome("a.jpg", sha256="aa", phash="f0f0f0f0f0f0f0f0", size_bytes=2_000),
    outcome("copy of a.jpg", sha256="aa", phash="f0f0f0f0f0f0f0f0", size_bytes=2_000),
    outcome("small a.jpg", sha256="bb", phash="f0f0f0f0f0f0f0f1", size_bytes=300),
    failure("[red]b.jpg", ErrorCode.CORRUPT, "bad [Huffman] code"),
]


@pytest.fixture
def folder(tmp_path: Path) -> str:
    target = SnapshotWriter(RUN_ID, "photos", STARTED_AT, str(tmp_path), open_bucket)
    add(target, OUTCOMES)
    return target.path


def test_it_prints_formats_failures_copies_and_lookalikes(folder: str) -> None:
    result = snapshot(folder)

    assert result.exit_code == 0, result.output
    assert f"Run {RUN_ID} on photos" in result.stdout
    assert "4 objects: 3 enriched, 1 failed" in result.stdout
    assert "jpeg" in result.stdout
    for literal in ("corrupt", "[red]b.jpg", "bad [Huffman] code", "copy of a.jpg", "small a.jpg"):
        assert literal in result.stdout
    assert "Duplicates (same sha256): 2 objects in 1 group" in result.stdout
    assert "within 6 bits): 3 objects in 1 group" in result.stdout


def test_the_run_is_found_by_its_id(migrated_stack: object) -> None:
    run_id = str(uuid4())
    target = SnapshotWriter(run_id, "photos", STARTED_AT, "bucket:cli-snapshots", open_bucket)
    add(target, OUTCOMES)
    RunTable(connect(supabase_settings())).record(
        run_id, bucket="photos", snapshot_path=target.path, status="running", started_at=STARTED_AT
    )

    result = snapshot(run_id, "--json", "--near", "0")

    summary = json.loads(result.stdout)
    assert summary["run_id"] == run_id
    assert summary["address"] == target.path
    assert summary["statuses"] == {"enriched": 3, "failed": 1}
    assert summary["duplicates"]["wasted_bytes"] == 2_000
    assert summary["near_duplicates"]["groups"] == 0


def test_a_run_that_is_not_there_and_one_without_a_snapshot_are_told_apart() -> None:
    run_id = str(uuid4())
    RunTable(connect(supabase_settings())).record(run_id, bucket="photos", status="queued")

    unknown, without = snapshot(str(uuid4())), snapshot(run_id)

    assert (unknown.exit_code, without.exit_code) == (1, 1)
    assert "there is no run" in unknown.stderr
    assert "(queued) has no snapshot" in without.stderr


def test_a_folder_is_read_without_any_supabase(
    folder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    supabase_settings.cache_clear()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SUPABASE_URL")

    assert snapshot(folder).exit_code == 0
    by_id = snapshot(str(uuid4()))
    assert by_id.exit_code == 2
    assert "SUPABASE_URL is not set" in by_id.stderr


@pytest.mark.parametrize("near", ["-1", "16", "many"])
def test_a_distance_that_makes_no_sense_is_bad_input(near: str, folder: str) -> None:
    assert snapshot(folder, "--near", near).exit_code == 2
