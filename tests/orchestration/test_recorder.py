"""Recording where something is in the way: a false alarm, a full disk, a place out of reach."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from prefect.logging import disable_run_logger

from media_enricher.models import Outcome, RunStatus, Selection, StorageObject
from media_enricher.orchestration import resources
from media_enricher.orchestration.run import Run
from media_enricher.orchestration.settling import settle_snapshots
from media_enricher.settings import settings
from media_enricher.snapshot.reader import open_snapshot
from media_enricher.snapshot.targets import SnapshotError
from tests.conftest import Put
from tests.orchestration.killed_writer import outcome_of, record_pending
from tests.waiting import wait_for

pytestmark = pytest.mark.usefixtures("migrated_stack")

PATHS = [f"{number}-good.jpg" for number in range(25)]

BeginRun = Callable[[], Run]


@pytest.fixture
def bucket(make_bucket: Callable[[], str], put: Put, supabase_environment: object) -> str:
    name = make_bucket()
    for path in PATHS:
        put(name, path, b"no photograph", "image/jpeg")
    return name


@pytest.fixture
def begin_run(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BeginRun:
    """Begins a run whose snapshot goes to a folder."""
    monkeypatch.setenv("MEDIA_ENRICHER_SNAPSHOT", str(tmp_path / "snapshots"))
    settings.cache_clear()

    def begin() -> Run:
        run_id = str(uuid4())
        resources.run_table().record(run_id, bucket=bucket, status=RunStatus.RUNNING)
        return Run(run_id, Selection(bucket=bucket))

    return begin


def recorded(run: Run) -> set[str]:
    rows = resources.asset_table().of_run(run.id, ["path"], limit=1_000)
    return {row["path"] for row in rows}


def test_a_run_that_was_wrongly_taken_for_dead_writes_another_part(begin_run: BeginRun) -> None:
    run = begin_run()
    (pending,) = resources.asset_table().pending_pages(run.selection)
    run.expect(len(pending))
    with run.recorder:
        (first,) = run.recorder.record([outcome_of(each) for each in pending[:10]])
    given_up = resources.snapshot_ledger().give_up(run.selection.bucket, silence_seconds=0)
    assert [each.parts for each in given_up] == [[1]]

    with run.recorder:
        (second,) = run.recorder.record([outcome_of(each) for each in pending[10:]])

    snapshot = open_snapshot(run.snapshot.path, resources.bucket)
    assert snapshot.parts == [first.address, second.address]
    assert second.address.endswith("part-00002.parquet")
    assert set(snapshot.table["path"].to_pylist()) == recorded(run) == set(PATHS)
    assert second.run.processed_files == len(PATHS)


def test_a_part_that_could_not_get_its_name_gets_it_before_the_next_is_recorded(
    begin_run: BeginRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: Path, _target: Path) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    run = begin_run()
    (pending,) = resources.asset_table().pending_pages(run.selection)
    run.expect(len(pending))
    outcomes = [outcome_of(each) for each in pending]
    real_publish = run.snapshot.publish

    def publish(number: int) -> None:
        with monkeypatch.context() as folder:
            folder.setattr(Path, "replace", refuse)
            real_publish(number)

    monkeypatch.setattr(run.snapshot, "publish", publish)
    with pytest.raises(SnapshotError, match=r"cannot rename .*: Permission denied"), run.recorder:
        list(chain(run.recorder.record(outcomes[:10]), run.recorder.record(outcomes[10:])))
    monkeypatch.setattr(run.snapshot, "publish", real_publish)
    assert len(recorded(run)) == 10

    with run.recorder:
        list(run.recorder.record(outcomes[10:]))

    snapshot = open_snapshot(run.snapshot.path, resources.bucket)
    assert set(snapshot.table["path"].to_pylist()) == recorded(run) == set(PATHS)
    assert len(snapshot.parts) == 2


def test_a_part_is_written_while_the_one_before_gets_its_name(
    begin_run: BeginRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin_run()
    (pending,) = resources.asset_table().pending_pages(run.selection)
    run.expect(len(pending))
    outcomes = [outcome_of(each) for each in pending]
    next_is_written = threading.Event()
    write, publish = run.snapshot.write, run.snapshot.publish

    def write_and_tell(number: int, outcomes: Sequence[Outcome]) -> None:
        write(number, outcomes)
        if number:
            next_is_written.set()

    def publish_late(number: int) -> None:
        wait_for(next_is_written.is_set, "the next part waits until this one has its name")
        publish(number)

    monkeypatch.setattr(run.snapshot, "write", write_and_tell)
    monkeypatch.setattr(run.snapshot, "publish", publish_late)
    with run.recorder:
        list(run.recorder.record(outcomes[:10]))
        list(run.recorder.record(outcomes[10:]))

    assert recorded(run) == set(PATHS)
    assert len(open_snapshot(run.snapshot.path, resources.bucket).parts) == 2


def test_a_full_disk_ends_a_run_before_it_has_rows(
    begin_run: BeginRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = begin_run()
    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", is_full)
        with pytest.raises(SnapshotError, match="No space left"):
            record_pending(run)
    assert recorded(run) == set()
    assert not [file for file in Path(run.snapshot.path).rglob("*") if file.is_file()]

    following = begin_run()
    record_pending(following)
    assert recorded(following) == set(PATHS)


def test_a_snapshot_that_is_out_of_reach_is_settled_where_it_can_be(
    begin_run: BeginRun, tmp_path: Path
) -> None:
    run = begin_run()
    run.expect(1)
    run.snapshot.write(0, [outcome_of(each) for each in _first(run)])
    (unrecorded,) = Path(run.snapshot.path).iterdir()
    resources.run_table().record(run.id, status=RunStatus.CRASHED)
    here, elsewhere = tmp_path / "snapshots", tmp_path / "of another machine"
    here.rename(elsewhere)
    settle_snapshots(run.selection.bucket)
    elsewhere.rename(here)
    assert unrecorded.exists()

    settle_snapshots(run.selection.bucket)

    assert not unrecorded.exists()
    assert resources.snapshot_ledger().give_up(run.selection.bucket, 60) == []


def test_a_snapshot_whose_bucket_is_gone_is_settled(
    bucket: str, begin_run: BeginRun, monkeypatch: pytest.MonkeyPatch, http: httpx.Client
) -> None:
    begin_run()
    snapshots = f"{bucket}-snapshots"
    monkeypatch.setenv("MEDIA_ENRICHER_SNAPSHOT", f"bucket:{snapshots}")
    settings.cache_clear()
    run = begin_run()
    run.expect(1)
    resources.run_table().record(run.id, status=RunStatus.CRASHED)
    http.delete(f"/bucket/{snapshots}").raise_for_status()

    with disable_run_logger():
        settle_snapshots(bucket)

    assert resources.snapshot_ledger().give_up(bucket, 60) == []


def _first(run: Run) -> list[StorageObject]:
    (page,) = resources.asset_table().pending_pages(run.selection, limit=1)
    return page
