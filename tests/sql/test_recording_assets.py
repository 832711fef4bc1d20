"""What a call to record assets does to rows that are there, and to those that are not."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

import pytest

from supabase_local.postgres import Postgres
from tests.database import Database
from tests.sql.conftest import Objects, Pipeline, etag_of, failed, found

TENANT = "7e1a7000-0000-4000-8000-000000000001"
ADA = "0a5a7a70-0000-4000-8000-00000000ada0"

DEEP: dict[str, Any] = {"width": 40, "height": 30, "blurhash": "LEHV6nWB2yk8", "sha256": "ab" * 32}
CLOCKS = {"id", "created_at", "updated_at", "enriched_at"}


def findings(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in CLOCKS}


def test_the_database_adds_object_owner_and_tenant(
    database: Database, objects: Objects, pipeline: Pipeline
) -> None:
    path = f"{TENANT.upper()}/a.jpg"
    objects.put(path, owner=ADA)
    run_id = str(uuid4())
    assert pipeline.record(found(path, user_id=str(uuid4()), **DEEP), run_id=run_id) == []
    row = pipeline.asset(path)
    assert str(row["user_id"]) == ADA
    assert str(row["tenant_id"]) == TENANT
    assert row["object_id"] == database.value(
        "select id from storage.objects where bucket_id = $1", objects.bucket
    )
    assert str(row["run_id"]) == run_id
    assert (row["width"], row["height"], row["attempts"]) == (40, 30, 1)


@pytest.mark.parametrize(
    "path",
    [
        "a.jpg",
        TENANT,  # a file of that name is in no folder
        f"x{TENANT}/a.jpg",
        f"/{TENANT}/a.jpg",
        f"{{{TENANT}}}/a.jpg",
        "7e1a7000/a.jpg",
        "//",
        "%s' -- \\/",
    ],
)
def test_any_other_path_is_of_no_tenant(database: Database, path: str) -> None:
    assert database.value("select public.media_tenant_id('b', $1)", path) is None


def test_an_operator_may_replace_how_tenants_are_told_apart(
    database: Database, objects: Objects, pipeline: Pipeline
) -> None:
    objects.put("a.jpg")
    original = database.value(
        "select pg_get_functiondef('public.media_tenant_id(text, text)'::regprocedure)"
    )
    database.run(
        "create or replace function public.media_tenant_id(p_bucket text, p_path text) returns uuid"
        f" language sql stable set search_path = '' as $$ select '{TENANT}'::uuid $$"
    )
    try:
        pipeline.record(found("a.jpg"))
    finally:
        database.run(original)
    assert str(pipeline.asset("a.jpg")["tenant_id"]) == TENANT


def test_recording_twice_changes_nothing(objects: Objects, pipeline: Pipeline) -> None:
    objects.put("a.jpg", "b.jpg")
    run_id = str(uuid4())
    for _ in range(2):
        pipeline.record(found("a.jpg", **DEEP), failed("b.jpg", "network"), run_id=run_id)
    assert pipeline.asset("a.jpg")["attempts"] == 1
    assert pipeline.asset("b.jpg")["attempts"] == 1


def test_attempts_count_runs_that_tried_the_same_bytes(
    objects: Objects, pipeline: Pipeline
) -> None:
    objects.put("a.jpg")
    for _ in range(3):
        pipeline.record(failed("a.jpg", "network"))
    assert pipeline.asset("a.jpg")["attempts"] == 3
    objects.put("a.jpg", content="new")
    pipeline.record(failed("a.jpg", "network", "new"))
    assert pipeline.asset("a.jpg")["attempts"] == 1


def test_objects_that_are_gone_are_not_recorded(
    database: Database, objects: Objects, pipeline: Pipeline
) -> None:
    objects.put("a.jpg")
    assert pipeline.record(found("a.jpg"), found("gone.jpg")) == ["gone.jpg"]
    assert database.column(
        "select path from public.media_assets where bucket = $1", objects.bucket
    ) == ["a.jpg"]


def test_a_shallower_look_clears_nothing(objects: Objects, pipeline: Pipeline) -> None:
    objects.put("a.jpg")
    pipeline.record(found("a.jpg", **DEEP))
    pipeline.record(found("a.jpg", depth="header", width=41, height=30, enricher_version=2))
    row = pipeline.asset("a.jpg")
    assert row["depth"] == "full"
    assert row["blurhash"] == DEEP["blurhash"]
    assert row["width"] == 41
    assert row["enricher_version"] == 1  # not all of the row is of version 2


def test_a_shallower_look_at_new_bytes_replaces_everything(
    objects: Objects, pipeline: Pipeline
) -> None:
    objects.put("a.jpg")
    pipeline.record(found("a.jpg", **DEEP))
    objects.put("a.jpg", content="new")
    pipeline.record(found("a.jpg", "new", depth="header", width=7, height=8))
    row = pipeline.asset("a.jpg")
    assert (row["depth"], row["width"], row["blurhash"], row["sha256"]) == ("header", 7, None, None)


def test_a_deeper_look_replaces_everything(objects: Objects, pipeline: Pipeline) -> None:
    objects.put("a.jpg")
    pipeline.record(found("a.jpg", depth="header", title="header's", width=7, height=8))
    pipeline.record(found("a.jpg", **DEEP))
    row = pipeline.asset("a.jpg")
    assert (row["depth"], row["width"], row["title"]) == ("full", 40, None)


@pytest.mark.parametrize("depth", ["header", "full"])
def test_a_failure_that_may_pass_leaves_a_good_row_good(
    objects: Objects, pipeline: Pipeline, depth: str
) -> None:
    objects.put("a.jpg")
    pipeline.record(found("a.jpg", depth=depth, **DEEP))
    before = pipeline.asset("a.jpg")
    run_id = uuid4()
    pipeline.record(failed("a.jpg", "timeout", enricher_version=2), run_id=str(run_id))
    assert pipeline.asset("a.jpg")["enriched_at"] == before["enriched_at"]
    assert findings(pipeline.asset("a.jpg")) == findings(before) | {
        "attempts": 2,
        "run_id": run_id,
    }


def test_a_lasting_failure_is_told_and_keeps_what_was_found(
    objects: Objects, pipeline: Pipeline
) -> None:
    objects.put("a.jpg")
    pipeline.record(found("a.jpg", depth="header", width=40, height=30))
    pipeline.record(failed("a.jpg", "truncated", error_message="ends at byte 7"))
    row = pipeline.asset("a.jpg")
    assert (row["status"], row["error_code"], row["depth"]) == ("failed", "truncated", "full")
    assert (row["width"], row["kind"]) == (40, "image")
    assert pipeline.paths() == []


def test_a_success_after_a_failure_clears_it(objects: Objects, pipeline: Pipeline) -> None:
    objects.put("a.jpg")
    pipeline.record(failed("a.jpg", "network", error_message="reset"))
    pipeline.record(found("a.jpg", **DEEP))
    row = pipeline.asset("a.jpg")
    assert (row["status"], row["error_code"], row["error_message"]) == ("enriched", None, None)


def test_findings_of_replaced_bytes_do_not_touch_a_row_of_the_current_ones(
    objects: Objects, pipeline: Pipeline
) -> None:
    objects.put("a.jpg", content="new")
    pipeline.record(found("a.jpg", "new", width=2, height=2))
    before = pipeline.asset("a.jpg")
    assert pipeline.record(found("a.jpg", "old", width=1, height=1)) == []
    assert pipeline.asset("a.jpg") == before


def test_findings_of_bytes_newer_than_the_row_are_recorded(
    objects: Objects, pipeline: Pipeline
) -> None:
    """Overwritten twice while a run was under way: better the middle than the oldest."""
    objects.put("a.jpg", content="newest")
    pipeline.record(found("a.jpg", "old"))
    pipeline.record(found("a.jpg", "newer"))
    assert pipeline.asset("a.jpg")["etag"] == etag_of("newer")
    assert pipeline.paths() == ["a.jpg"]


def test_a_path_named_twice_is_recorded_once(objects: Objects, pipeline: Pipeline) -> None:
    objects.put("a.jpg")
    assert pipeline.record(found("a.jpg"), found("a.jpg")) == []
    assert pipeline.asset("a.jpg")["attempts"] == 1


def test_two_runs_at_once_lose_and_double_nothing(
    postgres: Postgres, objects: Objects, pipeline: Pipeline
) -> None:
    """Full and header findings of the same objects, in opposite orders: no deadlock, full wins."""
    paths = [f"{number:03}.jpg" for number in range(200)]
    objects.put(*paths)
    problems: list[BaseException] = []
    start = threading.Barrier(2)

    def run(assets: list[dict[str, Any]]) -> None:
        connection = Database(postgres.url())
        try:
            own = Pipeline(connection, objects)
            run_id = str(uuid4())
            start.wait()
            for _ in range(5):
                own.record(*assets, run_id=run_id)
        except BaseException as problem:  # noqa: BLE001  # to be raised where pytest sees it
            problems.append(problem)
        finally:
            connection.close()

    threads = [
        threading.Thread(target=run, args=(assets,))
        for assets in (
            [found(path, **DEEP) for path in paths],
            [found(path, depth="header", width=40, height=30) for path in reversed(paths)],
        )
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    rows = [pipeline.asset(path) for path in paths]
    assert {row["depth"] for row in rows} == {"full"}
    assert {row["blurhash"] for row in rows} == {DEEP["blurhash"]}


def test_a_call_sees_what_the_one_under_way_writes(
    postgres: Postgres, objects: Objects, pipeline: Pipeline
) -> None:
    """Neither had a row to look at when they began, and still the deeper findings stay."""
    objects.put("a.jpg")
    first = Database(postgres.url())
    first.run("begin")
    Pipeline(first, objects).record(found("a.jpg", **DEEP))

    def shallower() -> None:
        second = Database(postgres.url())
        Pipeline(second, objects).record(found("a.jpg", depth="header", width=40, height=30))
        second.close()

    thread = threading.Thread(target=shallower)
    thread.start()
    thread.join(timeout=0.5)
    assert thread.is_alive()  # it waits for its turn
    first.run("commit")
    thread.join()
    first.close()
    row = pipeline.asset("a.jpg")
    assert (row["depth"], row["blurhash"]) == ("full", DEEP["blurhash"])


def test_updated_at_moves_and_created_at_stays(objects: Objects, pipeline: Pipeline) -> None:
    objects.put("a.jpg")
    pipeline.record(found("a.jpg"))
    before = pipeline.asset("a.jpg")
    pipeline.record(found("a.jpg"))
    after = pipeline.asset("a.jpg")
    assert after["created_at"] == before["created_at"]
    assert after["updated_at"] > before["updated_at"]
