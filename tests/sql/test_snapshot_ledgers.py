"""Parts of snapshots in the database: recorded with their rows and counts, or given up."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.database import Database
from tests.sql.conftest import Objects, Pipeline, failed, found

TRANSIENT = ["network"]


class Ledger:
    """The parts of one run."""

    def __init__(self, database: Database, bucket: str) -> None:
        self._database = database
        self.bucket = bucket
        self.run_id = str(uuid4())
        database.rows(
            "select public.media_record_run($1::jsonb)",
            json.dumps({"id": self.run_id, "bucket": bucket, "status": "running"}),
        )

    def tell(self, **changes: object) -> None:
        self._database.rows(
            "select public.media_record_run($1::jsonb)", json.dumps({"id": self.run_id, **changes})
        )

    def open(self, least: int = 0) -> tuple[int, list[int]]:
        """Of a first attempt, or of another: what the run had open is given up."""
        (row,) = self._database.rows(
            "select * from public.media_open_part($1, $2)", self.run_id, least
        )
        return row["part"], row["given_up"]

    def record(self, part: int, *assets: dict[str, Any]) -> dict[str, Any]:
        (row,) = self._database.rows(
            "select * from public.media_record_part($1, $2, $3, $4::json, $5, 7)",
            *(self.run_id, part, self.bucket, json.dumps(assets), TRANSIENT),
        )
        return row

    def counts(self) -> tuple[int, ...]:
        (row,) = self._database.rows(
            "select total_files, succeeded, failed, skipped, bytes_read"
            " from public.media_enrich_runs where id = $1",
            self.run_id,
        )
        return tuple(row.values())

    def failures(self) -> list[tuple[str, int, str]]:
        rows = self._database.rows("select * from public.media_run_failures($1)", self.run_id)
        return [(row["error_code"], row["objects"], row["path"]) for row in rows]

    def give_up(self, silence: float = 60.0) -> list[int] | None:
        rows = self._database.rows(
            "select * from public.media_give_up_parts($1, $2)", self.bucket, silence
        )
        return next((r["parts"] for r in rows if str(r["run_id"]) == self.run_id), None)


@pytest.fixture
def ledger(database: Database, objects: Objects) -> Ledger:
    objects.put("a.jpg", "b.jpg", "c.bin", "d.jpg")
    return Ledger(database, objects.bucket)


def test_rows_counts_and_failures_come_with_their_part(ledger: Ledger, pipeline: Pipeline) -> None:
    assert ledger.open(least=3) == (3, [])

    answer = ledger.record(
        3,
        found("a.jpg"),
        failed("b.jpg", "corrupt"),
        found("c.bin", status="unsupported"),
        found("gone.jpg"),
    )

    assert (answer["is_recorded"], answer["gone"], answer["next_part"]) == (True, ["gone.jpg"], 4)
    assert ledger.counts() == (4, 1, 1, 2, 7)
    assert ledger.failures() == [("corrupt", 1, "b.jpg"), ("gone", 1, "gone.jpg")]
    assert str(pipeline.asset("a.jpg")["run_id"]) == ledger.run_id


def test_a_call_that_is_repeated_answers_the_same_and_counts_nothing_twice(ledger: Ledger) -> None:
    part, _ = ledger.open()
    outcomes = [failed("a.jpg", "network"), found("gone.jpg")]
    first = ledger.record(part, *outcomes)

    assert ledger.record(part, *outcomes) == first
    assert ledger.counts() == (2, 0, 1, 1, 7)
    assert ledger.failures() == [("gone", 1, "gone.jpg"), ("network", 1, "a.jpg")]


def test_of_a_part_that_is_not_open_nothing_is_recorded(ledger: Ledger, pipeline: Pipeline) -> None:
    assert not ledger.record(0, found("a.jpg"))["is_recorded"]
    part, _ = ledger.open()
    ledger.tell(status="crashed")
    assert ledger.give_up() == [part]

    assert not ledger.record(part, found("a.jpg"))["is_recorded"]

    assert ledger.counts() == (0, 0, 0, 0, 0)
    assert "a.jpg" in pipeline.paths()
    following, given_up = ledger.open()
    assert (following, given_up) == (part + 1, [part])
    assert ledger.record(following, found("a.jpg"))["is_recorded"]


def test_parts_of_a_run_that_is_alive_are_left_to_it(ledger: Ledger, database: Database) -> None:
    part, _ = ledger.open()

    assert ledger.give_up() is None
    assert ledger.give_up(silence=0) == [part]
    database.rows("select public.media_forget_parts($1, $2)", ledger.run_id, [part])
    assert ledger.give_up(silence=0) is None


def test_what_a_run_saw_stays_its_own(
    ledger: Ledger, database: Database, pipeline: Pipeline
) -> None:
    """A good row keeps its verdict when a later look fails, and a later run takes rows over."""
    pipeline.record(found("a.jpg"))
    part, _ = ledger.open()
    ledger.record(part, failed("a.jpg", "network"), failed("b.jpg", "corrupt"))
    assert pipeline.asset("a.jpg")["status"] == "enriched"

    later = Ledger(database, ledger.bucket)
    part, _ = later.open()
    later.record(part, found("a.jpg"), found("b.jpg"))

    assert ledger.failures() == [("corrupt", 1, "b.jpg"), ("network", 1, "a.jpg")]
    assert later.failures() == []


def test_a_retry_counts_what_it_tries_again_once(ledger: Ledger, pipeline: Pipeline) -> None:
    """Of every kind: healed, failed for another reason, and deleted."""
    pipeline.record(found("d.jpg"))  # whose row keeps its verdict when a look fails for now
    part, _ = ledger.open()
    ledger.tell(total_files=5)
    ledger.record(
        part,
        failed("a.jpg", "network"),
        failed("b.jpg", "network"),
        found("c.bin", status="unsupported"),
        failed("d.jpg", "network"),
        found("gone.jpg"),
    )
    assert ledger.counts() == (5, 0, 3, 2, 7)

    part, _ = ledger.open()
    ledger.tell(total_files=5 + 4)  # as a run expects what is to do on top of what it did
    part = ledger.record(part, found("a.jpg"), failed("b.jpg", "corrupt"))["next_part"]
    assert ledger.counts() == (7, 1, 2, 2, 14)
    part = ledger.record(part, failed("d.jpg", "network"))["next_part"]
    kept = [("corrupt", 1, "b.jpg"), ("gone", 1, "gone.jpg")]
    assert ledger.failures() == [*kept, ("network", 1, "d.jpg")]
    ledger.record(part, found("d.jpg"), found("gone.jpg"))

    assert ledger.counts() == (5, 2, 1, 2, 28)
    assert ledger.failures() == kept


def test_failures_are_added_up_over_parts_and_shards(ledger: Ledger, database: Database) -> None:
    shard = Ledger(database, ledger.bucket)
    shard.tell(parent_run_id=ledger.run_id)
    for each in (ledger, shard):
        part, _ = each.open()
        part = each.record(part, failed("b.jpg", "corrupt"))["next_part"]
        each.record(part, failed("d.jpg", "corrupt"), failed("a.jpg", "empty"))

    assert ledger.failures() == [("corrupt", 4, "b.jpg"), ("empty", 2, "a.jpg")]
    assert shard.failures() == [("corrupt", 2, "b.jpg"), ("empty", 1, "a.jpg")]


def test_what_is_kept_of_old_runs_is_forgotten(ledger: Ledger, database: Database) -> None:
    part, _ = ledger.open()
    ledger.record(part, failed("b.jpg", "corrupt"))
    ledger.tell(status="completed")
    ledger.give_up()
    database.rows("select public.media_forget_parts($1, $2)", ledger.run_id, [part + 1])

    database.rows("select public.media_purge_run_records(1)")
    assert ledger.failures()
    database.rows(
        "update public.media_enrich_runs set finished_at = now() - interval '2 days' where id = $1",
        ledger.run_id,
    )
    assert database.value("select public.media_purge_run_records(1)") == 2
    assert ledger.failures() == []


def test_old_deviations_are_forgotten_in_pieces_and_newer_ones_kept(
    ledger: Ledger, database: Database
) -> None:
    def runs(number: int, ended: str) -> None:
        database.rows(
            "with runs as (insert into public.media_enrich_runs (id, flow, bucket, prefix, mode,"
            " depth, status, trigger, finished_at) select gen_random_uuid(), 'backfill', 'b', '',"
            " 'missing', 'full', 'completed', 'manual', now() - $2::text::interval"
            " from generate_series(1, $1) returning id)"
            " insert into media_enricher.run_deviations (run_id, path, ended)"
            " select r.id, n::text, 'gone' from runs r cross join generate_series(1, 6000) n",
            *(number, ended),
        )

    database.run("begin")
    try:
        database.run("delete from media_enricher.run_deviations")
        runs(3, "9 days")
        runs(2, "1 day")
        purged = [database.value("select public.media_purge_run_records(5)") for _ in range(3)]
        kept = database.value("select count(*) from media_enricher.run_deviations")
    finally:
        database.run("rollback")
    assert purged == [10_000, 8_000, 0]
    assert kept == 12_000


def test_a_table_that_was_empty_when_plans_were_made_is_not_read_for_every_object(
    database: Database, objects: Objects
) -> None:
    names = [f"{i:05}.jpg" for i in range(10_000)]
    objects.put(*names)
    for _ in range(2):  # plans are kept from the sixth call on
        database.run("truncate public.media_assets; analyze public.media_assets")
        run = Ledger(database, objects.bucket)
        part, _ = run.open()
        before = _rows_read(database)
        for start in range(0, len(names), 1_000):
            assets = [found(name) for name in names[start : start + 1_000]]
            part = run.record(part, *assets)["next_part"]

    # A few times as many for each part at most, and not for each object.
    assert _rows_read(database) - before <= 10 * 3 * len(names)


def _rows_read(database: Database) -> int:
    """How many rows of media_assets this connection has read until now."""
    database.run("select pg_stat_force_next_flush()")
    return int(
        database.value(
            "select seq_tup_read + idx_tup_fetch from pg_stat_user_tables"
            " where relid = 'public.media_assets'::regclass"
        )
    )
