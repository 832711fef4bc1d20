"""Repairs of content types in the database: what is planned, noted, given back and passed on.

Storage is not there: `copy` does to a row what a copy onto itself does to it.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from tests.database import Database
from tests.sql.conftest import Objects, Pipeline, etag_of, found

ADA, BEN = str(uuid4()), str(uuid4())
PARTS = '"0123456789abcdef0123456789abcdef-2"'
GENERIC = "application/octet-stream"


class Repairs:
    """The functions that a run of repair-types calls, for one bucket."""

    def __init__(self, database: Database, objects: Objects, pipeline: Pipeline) -> None:
        self.database = database
        self.objects = objects
        self.pipeline = pipeline
        self.bucket = objects.bucket
        self.run_id = str(uuid4())

    def put(self, path: str, content: str = "content", **columns: Any) -> None:
        """Upload an object of a generic type, and enrich it as a PNG."""
        owner = columns.pop("owner", ADA)
        declared = columns.pop("content_type", GENERIC)
        self.objects.put(path, content=content, owner=owner, content_type=declared, **columns)
        self._change(
            path,
            "owner = owner_id::uuid, user_metadata = '{\"album\": 1}',"
            ' metadata = metadata || \'{"cacheControl": "max-age=9"}\'',
        )
        asset = found(
            path,
            content,
            etag=columns.get("etag", etag_of(content)),
            content_type="image/png",
            declared_content_type=declared,
            labels=["mislabelled", "square"],
        )
        self.pipeline.record(asset)

    def copy(self, path: str, **metadata: object) -> str:
        """What Storage's row is after a copy onto itself by the service key; its version."""
        version = str(uuid4())
        self._change(
            path,
            f"owner = null, owner_id = null, user_metadata = null, version = '{version}',"
            f" metadata = metadata || '{json.dumps({'mimetype': 'image/png'} | metadata)}'",
        )
        return version

    def _change(self, path: str, changes: str) -> None:
        self.database.rows(
            f"update storage.objects set {changes} where bucket_id = $1 and name = $2",
            self.bucket,
            path,
        )

    def planned(self, prefix: str = "", after: str = "", limit: int = 10) -> list[dict[str, Any]]:
        return self.database.rows(
            "select * from public.media_mistyped_objects($1, $2, $3, $4, $5)",
            *(self.bucket, prefix, ["image/png"], after, limit),
        )

    def start(self, path: str, *, run_id: str | None = None, etag: str | None = None) -> Any:
        """The id of the repair; None if there is nothing to be done."""
        rows = self.database.rows(
            "select * from public.media_start_type_repair($1, 'cli', $2, $3, $4, $5, 'image/png')",
            *(run_id or self.run_id, self.bucket, path, etag or etag_of("content"), GENERIC),
        )
        return rows[0]["id"] if rows else None

    def settle(self, repair: Any, version: str | None = None, error: str | None = None) -> str:
        outcome = self.database.value(
            "select public.media_settle_type_repair($1, $2, $3)", repair, version, error
        )
        assert isinstance(outcome, str)
        return outcome

    def audited(self, repair: Any) -> dict[str, Any]:
        (row,) = self.database.rows("select * from audit.type_repairs where id = $1", repair)
        return row

    def stored(self, path: str) -> dict[str, Any]:
        """The object's row, but for what every change changes."""
        (row,) = self.database.rows(
            "select owner::text, owner_id, user_metadata::jsonb, metadata from storage.objects"
            " where bucket_id = $1 and name = $2",
            *(self.bucket, path),
        )
        return row

    def part(self) -> list[dict[str, Any]]:
        rows = self.database.value("select public.media_type_repair_part($1)", self.bucket)
        return json.loads(rows or "[]")  # type: ignore[no-any-return]

    def note(self, part: str) -> None:
        self.database.rows("select public.media_note_type_repair_part($1, $2)", self.bucket, part)


@pytest.fixture
def repairs(database: Database, objects: Objects, pipeline: Pipeline) -> Repairs:
    return Repairs(database, objects, pipeline)


def test_what_is_planned_is_what_is_declared_otherwise(repairs: Repairs) -> None:
    repairs.put("a", content_type=None)
    repairs.put("b")
    repairs.put("c", content_type="image/png")
    repairs.put("d", content_type=" Image/PNG ; q=1")
    repairs.put("e", content_type="image/jpeg")
    assert [row["path"] for row in repairs.planned()] == ["a", "b", "e"]
    assert [row["path"] for row in repairs.planned(after="a", limit=1)] == ["b"]
    assert [row["path"] for row in repairs.planned(prefix="e")] == ["e"]


def test_a_stale_a_failed_and_a_deleted_one_are_told_apart(repairs: Repairs) -> None:
    repairs.put("changed")
    repairs.objects.put("changed", content="other", content_type=GENERIC)
    repairs.put("gone")
    repairs.objects.delete("gone")
    repairs.put("failed")
    repairs.pipeline.record(
        found("failed", status="failed", error_code="corrupt", content_type="image/png")
    )
    (planned,) = repairs.planned()
    assert (planned["path"], planned["is_stale"]) == ("changed", True)
    assert repairs.start("changed") is None


def test_a_mislabelled_one_is_repaired_and_looked_at_again(repairs: Repairs) -> None:
    repairs.put("a")
    repairs.pipeline.record(
        found(
            "a",
            status="failed",
            error_code="mislabelled",
            content_type="image/png",
            declared_content_type=GENERIC,
        )
    )
    assert [row["path"] for row in repairs.planned()] == ["a"]
    assert repairs.pipeline.paths() == []
    repair = repairs.start("a")
    assert repairs.settle(repair, repairs.copy("a")) == "repaired"
    assert repairs.pipeline.paths() == ["a"]
    assert repairs.planned() == []


def test_nothing_is_planned_in_our_own_buckets(database: Database, repairs: Repairs) -> None:
    repairs.put("a")
    database.column(
        "select public.media_own_buckets($1::jsonb)", json.dumps({repairs.bucket: "results"})
    )
    assert repairs.planned() == []
    assert repairs.start("a") is None


def test_all_is_given_back_and_the_asset_follows(repairs: Repairs) -> None:
    repairs.put("a")
    before, asset = repairs.stored("a"), repairs.pipeline.asset("a")

    repair = repairs.start("a")
    version = repairs.copy("a")
    assert repairs.settle(repair, version) == "repaired"

    after = repairs.stored("a")
    for column in ("owner", "owner_id", "user_metadata"):
        assert after[column] == before[column], column
    assert json.loads(after["metadata"]) == json.loads(before["metadata"]) | {
        "mimetype": "image/png"
    }
    assert repairs.pipeline.paths() == []  # nothing to enrich again
    assert repairs.planned() == []
    followed = repairs.pipeline.asset("a")
    assert followed["declared_content_type"] == "image/png"
    assert followed["labels"] == ["square"]
    changed = ("declared_content_type", "labels", "updated_at")
    assert {k: v for k, v in followed.items() if k not in changed} == {
        k: v for k, v in asset.items() if k not in changed
    }
    audited = repairs.audited(repair)
    assert (audited["from_type"], audited["to_type"]) == (GENERIC, "image/png")
    assert (audited["owner_id"], audited["version_after"]) == (ADA, version)
    assert audited["user_metadata"] is None  # it is where it belongs
    assert repairs.settle(repair, version) == "repaired"  # and once more is no harm


def test_an_owner_that_is_no_uuid_is_given_back_too(repairs: Repairs) -> None:
    repairs.put("a", owner=None)
    repairs._change("a", "owner_id = 'auth0|42'")
    repairs.pipeline.record(found("a", content_type="image/png", declared_content_type=GENERIC))
    repair = repairs.start("a")
    assert repairs.settle(repair, repairs.copy("a")) == "repaired"
    assert repairs.stored("a")["owner_id"] == "auth0|42"
    assert repairs.pipeline.paths() == []


def test_without_a_version_the_copy_is_known_by_its_looks(repairs: Repairs) -> None:
    repairs.put("a")
    repair = repairs.start("a")
    repairs.copy("a")
    assert repairs.settle(repair) == "repaired"
    assert repairs.stored("a")["owner_id"] == ADA
    assert json.loads(repairs.stored("a")["user_metadata"]) == {"album": 1}


def test_one_that_was_interrupted_before_the_copy_can_be_started_again(repairs: Repairs) -> None:
    repairs.put("a")
    first = repairs.start("a")
    assert repairs.start("a", run_id=str(uuid4())) is None  # another run keeps off
    assert repairs.start("a") == first  # a repeated call of the same run does not
    assert repairs.settle(first) == "not_done"
    assert repairs.stored("a")["owner_id"] == ADA
    second = repairs.start("a")
    assert second != first
    assert repairs.settle(second, repairs.copy("a")) == "repaired"


def test_storages_refusal_is_kept(repairs: Repairs) -> None:
    repairs.put("a")
    repair = repairs.start("a")
    assert repairs.settle(repair, error="refused") == "failed"
    assert repairs.audited(repair)["error_message"] == "refused"


@pytest.mark.parametrize("owner", [BEN, None], ids=["of somebody", "of nobody"])
def test_an_upload_meanwhile_is_left_alone(repairs: Repairs, owner: str | None) -> None:
    repairs.put("a")
    repair = repairs.start("a")
    version = repairs.copy("a")
    repairs.objects.put("a", content="other", owner=owner, content_type="image/png")
    before = repairs.stored("a")
    assert repairs.settle(repair, version) == "changed"
    assert repairs.stored("a") == before
    assert repairs.pipeline.paths() == ["a"]


def test_an_upload_of_the_same_bytes_by_another_keeps_its_owner(repairs: Repairs) -> None:
    repairs.put("a")
    repair = repairs.start("a")
    repairs.copy("a")
    repairs.objects.put("a", owner=BEN, content_type="image/png")
    repairs._change("a", 'metadata = metadata || \'{"cacheControl": "max-age=9"}\'')
    assert repairs.settle(repair) == "changed"
    assert repairs.stored("a")["owner_id"] == BEN


def test_one_that_is_deleted_or_made_anew_meanwhile(repairs: Repairs) -> None:
    repairs.put("a")
    repair = repairs.start("a")
    repairs.objects.delete("a")
    assert repairs.settle(repair) == "gone"
    repairs.put("b", owner=BEN)
    repair = repairs.start("b")
    repairs.objects.delete("b")
    repairs.objects.put("b", content_type="image/png")
    assert repairs.settle(repair) == "changed"
    assert repairs.stored("b")["owner_id"] is None


def test_an_etag_of_parts_becomes_another_and_the_asset_follows_by_the_size(
    repairs: Repairs,
) -> None:
    repairs.put("a", etag=PARTS)
    repair = repairs.start("a", etag=PARTS)
    assert repairs.settle(repair, repairs.copy("a", eTag=etag_of("content"))) == "repaired"
    assert repairs.pipeline.asset("a")["etag"] == etag_of("content")
    assert repairs.pipeline.paths() == []


@pytest.mark.parametrize(
    ("etag", "size"), [(PARTS, 1001), (etag_of("content"), 1000)], ids=["size", "etag"]
)
def test_other_bytes_than_were_looked_at_are_enriched_again(
    repairs: Repairs, etag: str, size: int
) -> None:
    repairs.put("a", etag=etag)
    repair = repairs.start("a", etag=etag)
    version = repairs.copy("a", eTag=etag_of("other"), size=size)
    assert repairs.settle(repair, version) == "unverified"
    assert repairs.stored("a")["owner_id"] == ADA  # better than nobody
    assert repairs.pipeline.paths() == ["a"]


def test_a_second_copy_that_comes_late_gets_its_owner_back(repairs: Repairs) -> None:
    """Of a run that was taken for dead, and is not."""
    repairs.put("a")
    repair = repairs.start("a")
    assert repairs.settle(repair, repairs.copy("a")) == "repaired"
    late = repairs.copy("a")
    repairs._change("a", "user_metadata = '{\"album\": 1}'")  # it was sent along
    assert repairs.settle(repair, late) == "repaired"
    assert repairs.stored("a")["owner_id"] == ADA
    assert json.loads(repairs.stored("a")["user_metadata"]) == {"album": 1}


def test_what_is_under_way_is_found(repairs: Repairs) -> None:
    for path in ("a/1", "b/1"):
        repairs.put(path)
    first = repairs.start("a/1")
    repairs.start("b/1")
    (unsettled,) = repairs.database.rows(
        "select * from public.media_unsettled_type_repairs($1, 'a/')", repairs.bucket
    )
    assert (unsettled["id"], unsettled["path"]) == (first, "a/1")
    assert unsettled["age_seconds"] >= 0


def test_a_part_is_handed_out_until_it_is_written(repairs: Repairs) -> None:
    assert repairs.part() == []
    repairs.put("a")
    repair = repairs.start("a")
    assert repairs.part() == []  # not before it is settled
    repairs.settle(repair, repairs.copy("a"))

    first = repairs.part()
    assert [(row["path"], row["outcome"]) for row in first] == [("a", "repaired")]
    assert first[0].keys().isdisjoint({"user_metadata", "owner", "owner_id"})
    repairs.put("b")
    repairs.settle(repairs.start("b"), repairs.copy("b"))
    assert repairs.part() == first  # the same rows, after whatever happened

    repairs.note(first[0]["part"])
    second = repairs.part()
    assert [row["path"] for row in second] == ["b"]
    repairs.note(second[0]["part"])
    assert repairs.part() == []


def test_an_unknown_repair_is_an_error(repairs: Repairs) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match="there is no repair"):
        repairs.settle(uuid4())


def test_the_service_role_reads_and_nobody_writes(superuser: Database, repairs: Repairs) -> None:
    for role in ("anon", "authenticated", "service_role"):
        for right in ("insert", "update", "delete"):
            assert not superuser.value(
                "select has_table_privilege($1, 'audit.type_repairs', $2)", role, right
            )
        assert superuser.value(
            "select has_table_privilege($1, 'audit.type_repairs', 'select')", role
        ) is (role == "service_role")
