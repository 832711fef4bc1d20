"""Buckets that we write to ourselves: known to the database, which finds nothing to do in them."""

from __future__ import annotations

import json

import asyncpg
import pytest

from tests.database import Database
from tests.sql.conftest import Objects, Pipeline, found
from tests.sql.test_requested_objects import RequestedObjects
from tests.sql.test_run_requests import Requester


@pytest.fixture
def own(database: Database, objects: Objects) -> str:
    """A bucket of results with an object in it, registered after the first run found it."""
    objects.put("result")
    known = database.column(
        "select public.media_own_buckets($1::jsonb)", json.dumps({objects.bucket: "results"})
    )
    assert objects.bucket in known
    return objects.bucket


def test_the_names_by_default_are_known_from_the_first(database: Database) -> None:
    known = database.column("select public.media_own_buckets()")
    assert {"media-enricher-results", "media-enricher-snapshots"} <= set(known)


def test_one_that_was_named_stays_known_when_another_is(database: Database, own: str) -> None:
    known = database.column("""select public.media_own_buckets('{"other": "snapshots"}')""")
    assert {own, "other"} <= set(known)


def test_planning_finds_nothing_in_it(own: str, pipeline: Pipeline) -> None:
    for mode in ("missing", "failed", "stale", "all"):
        assert pipeline.pending(mode=mode) == []
        assert pipeline.count(mode=mode) == (0, 0)
        assert pipeline.split(4, mode=mode) == []
    assert pipeline.record(found("result")) == ["result"]


def test_no_run_is_reserved_in_it(database: Database, own: str) -> None:
    requester = Requester(database, own)
    with pytest.raises(asyncpg.InvalidParameterValueError, match=f"the bucket '{own}' holds what"):
        requester.ask()
    with pytest.raises(asyncpg.InvalidParameterValueError):
        RequestedObjects(database, own).ask("result")


def test_what_was_asked_for_before_it_was_known_is_forgotten(
    database: Database, objects: Objects
) -> None:
    RequestedObjects(database, objects.bucket).ask("result")
    undrained = "select bucket from public.media_undrained_requests() where bucket = $1"
    assert database.column(undrained, objects.bucket) == [objects.bucket]
    database.column(
        "select public.media_own_buckets($1::jsonb)", json.dumps({objects.bucket: "results"})
    )
    assert database.column(undrained, objects.bucket) == []
    database.rows(
        "insert into media_enricher.requested_objects (bucket, prefix, path) values ($1, '', 'a')",
        objects.bucket,
    )
    assert database.column(undrained, objects.bucket) == []
