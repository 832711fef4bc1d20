"""What the sweep asks of the database: who is silent, what nobody drains, and what is forgotten."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.database import Database
from tests.sql.conftest import Objects
from tests.sql.test_requested_objects import RequestedObjects
from tests.sql.test_run_requests import Requester

LONG_AGO = datetime.now(UTC) - timedelta(hours=1)
TENANT = "0b6f0c9e-58a3-4d0c-8a51-5b7a9a1f1f10"


class Runs:
    """Runs of one bucket."""

    def __init__(self, database: Database, bucket: str) -> None:
        self._database = database
        self.bucket = bucket

    def make(self, **columns: Any) -> str:
        run_id = str(uuid4())
        told = {"id": run_id, "bucket": self.bucket} | columns
        self._database.rows(
            "select public.media_record_run($1::jsonb)", json.dumps(told, default=str)
        )
        return run_id

    def date_back(self, run_id: str) -> None:
        """Let it have been made, and have sent its last heartbeat, an hour ago."""
        self._database.rows(
            "update public.media_enrich_runs set created_at = $2::timestamptz, started_at = $2,"
            " heartbeat_at = case when heartbeat_at is not null then $2::timestamptz end"
            " where id = $1",
            *(run_id, LONG_AGO),
        )

    def row(self, run_id: str) -> dict[str, Any]:
        (row,) = self._database.rows("select * from public.media_enrich_runs where id = $1", run_id)
        return row

    def silent(self) -> set[str]:
        found = self._database.rows(
            "select id from public.media_silent_runs(60) where bucket = $1", self.bucket
        )
        return {str(row["id"]) for row in found}

    def end(self, run_id: str, heartbeat_at: datetime | None, **columns: Any) -> bool:
        ended = self._database.value(
            "select public.media_end_silent_run($1, $2, $3, $4, $5)",
            *(run_id, heartbeat_at, columns.get("status", "crashed"), columns.get("error")),
            columns.get("finished_at"),
        )
        assert isinstance(ended, bool)
        return ended


@pytest.fixture
def runs(database: Database, objects: Objects) -> Runs:
    return Runs(database, objects.bucket)


def test_silent_are_those_under_way_that_gave_no_sign_of_life_for_so_long(runs: Runs) -> None:
    old = {status: runs.make(status=status) for status in ("queued", "running", "completed")}
    for run_id in old.values():
        runs.date_back(run_id)
    for status in ("queued", "running"):
        runs.make(status=status)
    beating = runs.make(status="running")
    runs.date_back(beating)
    runs._database.rows(
        "update public.media_enrich_runs set heartbeat_at = now() where id = $1::uuid", beating
    )
    assert runs.silent() == {old["queued"], old["running"]}


def test_it_ends_as_told(runs: Runs) -> None:
    run_id = runs.make(status="running")
    runs.date_back(run_id)
    finished_at = LONG_AGO + timedelta(minutes=1)
    assert runs.end(run_id, LONG_AGO, status="failed", error="why", finished_at=finished_at)
    row = runs.row(run_id)
    assert (row["status"], row["error"], row["finished_at"]) == ("failed", "why", finished_at)


def test_one_that_has_stirred_or_ended_is_left_alone(runs: Runs) -> None:
    stirred, ended, unknown = runs.make(status="running"), runs.make(status="failed"), str(uuid4())
    assert not runs.end(stirred, LONG_AGO)
    assert not runs.end(ended, None)
    assert not runs.end(unknown, None)
    assert (runs.row(stirred)["status"], runs.row(ended)["status"]) == ("running", "failed")


def test_undrained_are_the_places_without_a_run(
    database: Database, objects: Objects, runs: Runs
) -> None:
    def undrained() -> list[tuple[str, str]]:
        found = database.rows(
            "select * from public.media_undrained_requests() where bucket = $1", objects.bucket
        )
        return [(row["bucket"], row["prefix"]) for row in found]

    everybody, tenant = (
        RequestedObjects(database, objects.bucket),
        RequestedObjects(database, objects.bucket, f"{TENANT}/"),
    )
    assert undrained() == []
    runs.make(status="running")  # a backfill, which does not care who asked for what
    asked = everybody.ask("a.jpg", "b.jpg")
    tenant.ask("c.jpg", "d.jpg")
    assert undrained() == [everybody.place, tenant.place]
    everybody.start(asked)
    assert undrained() == [tenant.place]
    everybody.status("crashed")
    assert undrained() == [everybody.place, tenant.place]


@pytest.fixture
def requester(database: Database, objects: Objects) -> Requester:
    return Requester(database, objects.bucket)


def purge(database: Database) -> int:
    purged = database.value("select public.media_purge_requests(90)")
    assert isinstance(purged, int)
    return purged


def test_requests_are_forgotten_after_so_many_days(
    database: Database, requester: Requester
) -> None:
    purge(database)
    answers = {
        name: requester.ask(prefix=f"{name}/", idempotency_key=name) for name in ("old", "under")
    }
    requester.release(answers["old"])
    for change in (
        "audit.enricher_invocations set invoked_at = invoked_at - interval '91 days'",
        "media_enricher.run_requests set requested_at = requested_at - interval '91 days',"
        " released_at = released_at - interval '91 days'",
    ):
        database.rows(f"update {change} where bucket = $1", requester.bucket)
    database.rows(
        "update media_enricher.idempotency_keys set used_at = used_at - interval '91 days'"
        " where idempotency_key = 'old'"
    )
    requester.release(requester.ask(prefix="new/", idempotency_key="new"))

    assert purge(database) == 4
    assert purge(database) == 0
    assert [each["prefix"] for each in requester.audits()] == ["new/"]
    kept = "select {} from media_enricher.{} order by 1"
    assert set(database.column(kept.format("idempotency_key", "idempotency_keys"))) >= {
        "under", "new",
    }  # fmt: skip
    assert {"under/", "new/"} == set(
        database.column(
            "select prefix from media_enricher.run_requests where bucket = $1", requester.bucket
        )
    )


def test_objects_of_a_bucket_that_is_no_more_are_forgotten_at_once(database: Database) -> None:
    purge(database)
    kept, lost = (RequestedObjects(database, Objects(database).bucket) for _ in range(2))
    for requested in (kept, lost):
        requested.ask("a.jpg", "b.jpg")
    database.run("set storage.allow_delete_query = 'true'")
    database.rows("delete from storage.buckets where id = $1", lost.place[0])
    assert purge(database) == 2
    assert (kept.pending(), len(kept.page()), len(lost.page())) == ([], 2, 0)


def test_what_was_counted_of_strangers_is_forgotten_after_a_week(database: Database) -> None:
    database.rows("select public.media_count_unauthenticated($1)", '{"192.0.2.7": 3, "": 2}')
    database.run(
        "update audit.enricher_invocations set invoked_at = now() - interval '8 days'"
        " where ip_address = '192.0.2.7' and reason = 'unauthenticated'"
    )
    database.value("select public.media_purge_requests(90)")
    rows = database.rows(
        "select ip_address, requests from audit.enricher_invocations"
        " where reason = 'unauthenticated'"
    )
    assert [(row["ip_address"], row["requests"]) for row in rows] == [(None, 2)]
