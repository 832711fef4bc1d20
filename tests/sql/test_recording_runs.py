"""The life of a run's row: statuses in any order, counters, and what is settled for good."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from tests.database import Database

Record = Callable[..., dict[str, Any]]
NOW = datetime(2030, 1, 1, tzinfo=UTC)
ENDS = ["completed", "failed", "cancelled", "crashed"]


@pytest.fixture
def record(database: Database) -> Record:
    """Records what it is told of one run, which exists already; returns the row."""
    run_id = str(uuid4())

    def tell(**changes: Any) -> dict[str, Any]:
        told = json.dumps({"id": run_id} | changes, default=str)
        (row,) = database.rows("select * from public.media_record_run($1::jsonb)", told)
        return row

    tell(bucket="photos")
    return tell


def test_a_new_run_is_queued_since_now(record: Record) -> None:
    row = record()
    assert row["status"] == "queued"
    assert row["started_at"] is not None  # or it would sort above every other run
    assert row["finished_at"] is None


def test_only_what_is_named_changes(record: Record) -> None:
    record(prefix="images/", max_files=5, mode="stale", depth="header", snapshot_path="here")
    row = record(status="running", prefix=None)
    assert (row["prefix"], row["max_files"], row["mode"]) == ("images/", 5, "stale")
    assert (row["depth"], row["snapshot_path"]) == ("header", "here")


def test_what_stopped_a_run_holds_until_it_runs_again(record: Record) -> None:
    record(status="running", max_bytes=2**40)
    record(stopped_by="max_bytes")
    row = record(status="completed")
    assert (row["stopped_by"], row["max_bytes"]) == ("max_bytes", 2**40)
    again = record(status="running", restart=True)
    assert (again["stopped_by"], again["max_bytes"]) == (None, 2**40)


@pytest.mark.parametrize("end", ENDS)
def test_an_end_has_its_time_and_is_final(record: Record, end: str) -> None:
    record(status="running")
    row = record(status=end, error="why")
    assert (row["status"], row["error"]) == (end, "why")
    assert row["finished_at"] is not None
    for other in ("queued", "running"):
        later = record(status=other)
        assert (later["status"], later["error"]) == (end, "why")
        assert later["finished_at"] == row["finished_at"]


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
def test_the_first_end_stands(record: Record, end: str) -> None:
    record(status="running")
    first = record(status=end)
    for other in ENDS:
        row = record(status=other, error="another" if other != end else None)
        assert (row["status"], row["error"]) == (end, None)
        assert row["finished_at"] == first["finished_at"]


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
def test_crashed_was_a_guess_and_gives_way_to_an_end(record: Record, end: str) -> None:
    record(status="running")
    record(status="crashed", error="silent for 540 s")
    assert record(status=end, error="the truth")["error"] == "the truth"
    assert record()["status"] == end


def test_a_run_can_end_without_having_run(record: Record) -> None:
    assert record(status="cancelled")["status"] == "cancelled"
    assert record(status="running", heartbeat_at=NOW)["status"] == "cancelled"


def test_a_late_heartbeat_revives_a_crashed_run(record: Record) -> None:
    record(status="running", heartbeat_at=NOW)
    record(status="crashed", error="silent")
    assert record(status="running", heartbeat_at=NOW)["status"] == "crashed"  # it is the old one
    row = record(status="running", heartbeat_at=NOW + timedelta(seconds=10))
    assert (row["status"], row["finished_at"], row["error"]) == ("running", None, None)
    assert row["heartbeat_at"] == NOW + timedelta(seconds=10)


def test_a_late_heartbeat_revives_nothing_else(record: Record) -> None:
    record(status="running", heartbeat_at=NOW)
    record(status="completed")
    row = record(status="running", heartbeat_at=NOW + timedelta(seconds=10))
    assert row["status"] == "completed"
    assert row["finished_at"] is not None


@pytest.mark.parametrize("end", ENDS)
def test_a_restart_makes_an_ended_run_run_again(record: Record, end: str) -> None:
    started = record(status="running", succeeded=3, total_files=5)["started_at"]
    record(status=end, error="why")
    row = record(status="running", restart=True, started_at=NOW)
    assert (row["status"], row["finished_at"], row["error"]) == ("running", None, None)
    assert (row["succeeded"], row["total_files"]) == (3, 5)
    assert row["started_at"] == started
    assert record(status="completed")["status"] == "completed"


def test_counters_grow_and_add_up_in_any_order(record: Record) -> None:
    record(status="running", total_files=10)
    record(succeeded=5, failed=2, skipped=1, bytes_read=900, processed_files=8)
    row = record(succeeded=4, failed=2, skipped=0, bytes_read=700, processed_files=6)
    assert (row["succeeded"], row["failed"], row["skipped"]) == (5, 2, 1)
    assert (row["processed_files"], row["total_files"], row["bytes_read"]) == (8, 10, 900)
    row = record(succeeded=12)  # more turned up than were counted
    assert (row["processed_files"], row["total_files"]) == (15, 15)


def test_a_run_that_has_done_all_settles_its_total(record: Record) -> None:
    record(status="running", total_files=10, succeeded=3)
    row = record(settle_total=True, total_files=12, failed=1)
    assert (row["processed_files"], row["total_files"]) == (4, 4)
    assert record(settle_total=False, total_files=6)["total_files"] == 6, "a retry counts anew"


def test_the_start_is_settled_once_it_runs(record: Record) -> None:
    assert record(status="running", started_at=NOW)["started_at"] == NOW
    assert record(status="running", started_at=NOW + timedelta(days=1))["started_at"] == NOW


def test_the_first_to_say_so_settles_who_asked(database: Database) -> None:
    tenant = str(uuid4())
    first = {"id": str(uuid4()), "bucket": "b", "trigger": "http", "requested_by": "ada"}
    later = first | {"trigger": "manual", "requested_by": "eve", "tenant_id": tenant}
    for told in (first, later, later | {"tenant_id": str(uuid4())}):
        database.rows("select public.media_record_run($1::jsonb)", json.dumps(told))
    (row,) = database.rows("select * from public.media_enrich_runs where id = $1", first["id"])
    assert (row["trigger"], row["requested_by"]) == ("http", "ada")
    assert str(row["tenant_id"]) == tenant


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ({"id": str(uuid4()), "status": "running"}, "must name its bucket"),
        ({"bucket": "photos"}, "by its id"),
        ({"id": str(uuid4()), "bucket": "b", "succeded": 1}, "no column succeded"),
        ({"id": str(uuid4()), "bucket": "b", "status": "done"}, "status_check"),
        ({"id": str(uuid4()), "bucket": "b", "succeeded": -1, "failed": -1}, None),
    ],
)
def test_nonsense_is_refused_or_harmless(
    database: Database, told: dict[str, Any], complaint: str | None
) -> None:
    if complaint is None:
        (row,) = database.rows("select * from public.media_record_run($1::jsonb)", json.dumps(told))
        assert row["succeeded"] == 0
    else:
        with pytest.raises(asyncpg.PostgresError, match=complaint):
            database.rows("select public.media_record_run($1::jsonb)", json.dumps(told))


@pytest.mark.parametrize(
    "columns",
    [
        "status = 'completed', finished_at = null",
        "status = 'running', finished_at = now()",
        "succeeded = 2, total_files = 1",
        "failed = -1",
        "mode = 'newest'",
    ],
)
def test_rows_written_past_the_function_are_kept_sane_too(
    database: Database, record: Record, columns: str
) -> None:
    run_id = record()["id"]
    with pytest.raises(asyncpg.CheckViolationError):
        database.rows(f"update public.media_enrich_runs set {columns} where id = $1", run_id)
