"""Rows of storage.objects that are no objects: all who look at the table agree on which."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.database import Database
from tests.sql.conftest import Objects, Pipeline, etag_of, failed, found
from tests.sql.test_requested_objects import RequestedObjects

ADA = "0a5a7a70-0000-4000-8000-00000000ada0"
TENANT = "7e4a47b0-0000-4000-8000-000000000001"
CURRENT, ARCHIVED, DELETED, BOTH = (
    f"{TENANT}/{name}.jpg" for name in ("current", "archived", "deleted", "archived-mark")
)
IS_COLUMN = """
    select count(*) from pg_attribute
    where attrelid = 'storage.objects'::regclass and attname = $1 and not attisdropped
"""


@pytest.fixture
def versions(database: Database, objects: Objects) -> Objects:
    """A bucket with one object, an archived version, and marks of deletions."""
    objects.put(CURRENT, ARCHIVED, DELETED, BOTH, owner=ADA)
    make_versions(database, objects)
    return objects


def make_versions(database: Database, objects: Objects) -> None:
    for columns, paths in (
        ("archived_at = now()", [ARCHIVED, BOTH]),
        ("is_delete_marker = true", [DELETED, BOTH]),
    ):
        database.rows(
            f"update storage.objects set {columns} where bucket_id = $1 and name = any ($2)",
            objects.bucket,
            paths,
        )


def test_planning_counting_and_splitting(versions: Objects, pipeline: Pipeline) -> None:
    for mode in ("missing", "all"):
        assert pipeline.paths(mode=mode) == [CURRENT]
        assert pipeline.count(mode=mode) == (1, 1000)
        assert [part["until"] for part in pipeline.split(4, mode=mode)] == [CURRENT]


def test_recording_and_marking_what_is_gone(
    database: Database, objects: Objects, pipeline: Pipeline
) -> None:
    objects.put(CURRENT, ARCHIVED, DELETED, BOTH)
    pipeline.record(*(found(path) for path in (CURRENT, ARCHIVED, DELETED, BOTH)))
    make_versions(database, objects)
    assert pipeline.mark_gone() == 3
    assert pipeline.asset(CURRENT)["gone_at"] is None
    assert sorted(pipeline.record(*map(found, (ARCHIVED, CURRENT, DELETED)))) == [ARCHIVED, DELETED]
    assert pipeline.paths(mode="failed") == []


def test_requested_objects(database: Database, versions: Objects) -> None:
    requested = RequestedObjects(database, versions.bucket)
    requested.start(requested.ask(CURRENT, ARCHIVED))
    requested.ask(DELETED, BOTH, is_forced=True)
    assert requested.pending() == [CURRENT]


def test_who_may_read_what(database: Database, versions: Objects) -> None:
    readable = database.column(
        "select path from unnest($2::text[]) as path where public.media_reads_object($1, path)",
        versions.bucket,
        [CURRENT, ARCHIVED, DELETED, BOTH],
    )
    assert readable == [CURRENT]
    assert versions.bucket in database.value("select public.media_tenant_buckets($1)", TENANT)
    database.rows(
        "update storage.objects set archived_at = now() where bucket_id = $1", versions.bucket
    )
    assert versions.bucket not in database.value("select public.media_tenant_buckets($1)", TENANT)


def test_a_policy_may_ask_for_what_is_no_mark_of_a_deletion(
    superuser: Database, objects: Objects
) -> None:
    with in_a_transaction(superuser):
        superuser.run(
            """
            create policy "not what was deleted" on storage.objects for select to authenticated
              using (not is_delete_marker and not is_versioned and archived_at is null);
            set local role authenticated;
            """
        )
        assert superuser.value("select public.media_reads_prefix($1, '')", objects.bucket)


def test_both_forms_of_the_definition_agree(database: Database, versions: Objects) -> None:
    assert forms_that_differ(database, versions) == []


class in_a_transaction:  # noqa: N801 - reads as a verb
    """Undo whatever the block does to the tables of Storage."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.run("begin; lock storage.objects")

    def __exit__(self, *_: object) -> None:
        self._database.run("rollback")


def forms_that_differ(database: Database, objects: Objects) -> list[str]:
    condition = database.value("select media_enricher.is_object_sql()")
    return database.column(
        f"select o.name from storage.objects o where bucket_id = $1"
        f" and ({condition}) is distinct from media_enricher.is_object(to_jsonb(o))",
        objects.bucket,
    )


@pytest.fixture
def older(superuser: Database, objects: Objects) -> Iterator[Objects]:
    """A project whose Storage knows neither versions nor owners by text."""
    with in_a_transaction(superuser):
        superuser.run(
            """
            alter table storage.objects drop archived_at, drop is_delete_marker, drop is_versioned,
              drop owner_id, drop user_metadata
            """
        )
        superuser.rows(
            "insert into storage.objects (bucket_id, name, owner, metadata)"
            " values ($1, $2, $3::uuid, $4)",
            *(objects.bucket, CURRENT, ADA),
            json.dumps({"eTag": etag_of("content"), "size": 1000, "mimetype": "image/jpeg"}),
        )
        yield objects


def test_an_older_storage_server(superuser: Database, older: Objects) -> None:
    pipeline = Pipeline(superuser, older)
    assert superuser.value(IS_COLUMN, "archived_at") == 0
    assert pipeline.paths() == [CURRENT]
    assert pipeline.record(found(CURRENT)) == []
    assert pipeline.paths() == []
    assert str(pipeline.asset(CURRENT)["user_id"]) == ADA
    assert pipeline.mark_gone() == 0
    assert superuser.value("select public.media_reads_object($1, $2)", older.bucket, CURRENT)
    assert older.bucket in superuser.value("select public.media_tenant_buckets($1)", TENANT)
    assert forms_that_differ(superuser, older) == []


def test_a_storage_server_that_keeps_versions(superuser: Database, objects: Objects) -> None:
    """From migration 0063 on: several rows of a path, which share the id of the object."""
    objects.put(CURRENT, content="newest")
    objects.put(DELETED)
    with in_a_transaction(superuser):
        superuser.run(
            """
            alter table storage.objects drop constraint objects_pkey;
            drop index storage.bucketid_objname;
            create unique index on storage.objects (bucket_id, name) where archived_at is null;
            """
        )
        for path, is_mark in ((CURRENT, False), (CURRENT, True), (DELETED, False)):
            superuser.rows(
                """
                insert into storage.objects (
                  id, bucket_id, name, metadata, version, archived_at, is_delete_marker,
                  is_versioned
                )
                select id, bucket_id, name, '{"eTag": "\\"old\\"", "size": 5}',
                  gen_random_uuid()::text, now(), $3, true
                from storage.objects where bucket_id = $1 and name = $2 and archived_at is null
                """,
                *(objects.bucket, path, is_mark),
            )
        superuser.rows(
            "update storage.objects set is_delete_marker = true, metadata = null"
            " where bucket_id = $1 and name = $2 and archived_at is null",
            *(objects.bucket, DELETED),
        )
        pipeline = Pipeline(superuser, objects)
        assert [(row["path"], row["etag"]) for row in pipeline.pending()] == [
            (CURRENT, etag_of("newest"))
        ]
        assert pipeline.count() == (1, 1000)
        assert pipeline.record(found(CURRENT, "newest"), found(DELETED)) == [DELETED]
        assert pipeline.pending() == []
        assert pipeline.mark_gone() == 0
        requested = RequestedObjects(superuser, objects.bucket)
        requested.start(requested.ask(CURRENT, DELETED, is_forced=True))
        assert requested.pending() == [CURRENT]
        assert forms_that_differ(superuser, objects) == []
        superuser.rows(  # it is the last row now, that of the first version the first
            "update storage.objects set updated_at = now()"
            " where bucket_id = $1 and name = $2 and archived_at is null",
            *(objects.bucket, CURRENT),
        )
        (repair,) = superuser.rows(
            "select * from public.media_start_type_repair("
            "gen_random_uuid(), 'cli', $1, $2, $3, 'image/jpeg', 'image/png')",
            *(objects.bucket, CURRENT, etag_of("newest")),
        )
        settle = "select public.media_settle_type_repair($1)"
        assert superuser.value(settle, repair["id"]) == "not_done"


def lost(path: str = CURRENT, **columns: Any) -> dict[str, Any]:
    return failed(path, "bytes_missing", **columns)


def test_bytes_that_are_missing_are_looked_for_once(objects: Objects, pipeline: Pipeline) -> None:
    objects.put(CURRENT)
    pipeline.record(lost())
    assert pipeline.paths() == []
    assert pipeline.paths(mode="failed") == [CURRENT]
    pipeline.record(lost())
    assert pipeline.asset(CURRENT)["attempts"] == 2
    assert pipeline.paths(max_attempts=99) == []


@pytest.mark.parametrize("content", ["content", "other"])
def test_bytes_that_were_uploaded_again_are_read(
    content: str, objects: Objects, pipeline: Pipeline
) -> None:
    """The same bytes have the same etag as those that were lost."""
    objects.put(CURRENT)
    for _ in range(4):
        pipeline.record(lost())
    objects.put(CURRENT, content=content)
    (pending,) = pipeline.pending()
    assert (pending["path"], pending["attempts"]) == (CURRENT, 4), "another look in the task cache"
    pipeline.record(found(CURRENT, content))
    assert pipeline.pending() == []
    objects.put(CURRENT, content=content)
    assert pipeline.pending() == [], "only a row that lost its bytes looks at the time"
