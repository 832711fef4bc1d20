"""A snapshot kept in a Storage bucket: made private, refused if public, read back as it was."""

from __future__ import annotations

import httpx
import pytest

from media_enricher.settings import supabase_settings
from media_enricher.snapshot.reader import open_snapshot
from media_enricher.snapshot.targets import SnapshotError
from media_enricher.snapshot.writer import SnapshotWriter
from media_enricher.supabase.bucket import Bucket
from media_enricher.supabase.client import connect
from supabase_local import LocalStack
from tests.snapshot.records import RUN_ID, STARTED_AT, add, add_as, outcome

pytestmark = pytest.mark.usefixtures("migrated_stack", "supabase_environment")


def open_bucket(name: str) -> Bucket:
    return Bucket(connect(supabase_settings()), name)


def writer(target: str, bucket: str = "photos") -> SnapshotWriter:
    return SnapshotWriter(RUN_ID, bucket, STARTED_AT, f"bucket:{target}", open_bucket)


def test_the_bucket_is_made_private_with_the_first_part(http: httpx.Client) -> None:
    add(writer("snapshots-new"), [outcome("a.jpg")])

    assert http.get("/bucket/snapshots-new").json()["public"] is False


def test_what_was_written_is_read_by_the_address_that_the_run_keeps() -> None:
    target = writer("snapshots")
    add(target, [outcome("a.jpg"), outcome("b//c?.jpg", tags=["sea", "é"])])
    part = add(target, [outcome("d.jpg")])

    snapshot = open_snapshot(target.path, open_bucket)

    assert target.path == f"bucket:snapshots/bucket=photos/date=2026-11-23/run_id={RUN_ID}"
    assert snapshot.table["path"].to_pylist() == ["a.jpg", "b//c?.jpg", "d.jpg"]
    assert snapshot.table["tags"].to_pylist() == [None, ["sea", "é"], None]
    assert snapshot.parts[-1] == part == f"{target.path}/part-00001.parquet"


def test_a_retried_run_counts_on_and_a_repeated_part_replaces_itself() -> None:
    add(writer("snapshots-retried"), [outcome("a.jpg")])
    retried = writer("snapshots-retried")

    assert add(retried, [outcome("b.jpg")]).endswith("part-00001.parquet")
    assert add_as(1, retried, [outcome("b.jpg")]).endswith("part-00001.parquet")
    assert len(open_snapshot(retried.path, open_bucket).parts) == 2


def test_readers_see_a_part_once_it_is_recorded() -> None:
    target = writer("snapshots-recorded")
    recorded = add(target, [outcome("a.jpg")])
    target.write(1, [outcome("b.jpg")])
    assert open_snapshot(target.path, open_bucket).parts == [recorded]

    for _ in range(2):
        target.publish(1)
    assert open_snapshot(target.path, open_bucket).parts == [recorded, target.address(1)]


def test_an_upload_that_arrives_after_its_part_is_published_is_deleted() -> None:
    target = writer("snapshots-late")
    part = add(target, [outcome("a.jpg")])
    target.write(0, [outcome("a.jpg")])

    target.publish(0)

    assert open_bucket("snapshots-late").list("") == [part.removeprefix("bucket:snapshots-late/")]


@pytest.mark.parametrize("bucket", ["my photos", "a=b", "a+b&c@d", "what?", "it's (new)!", "média"])
def test_any_bucket_name_makes_a_key_that_storage_takes(bucket: str) -> None:
    target = writer("snapshots-odd", bucket)
    add(target, [outcome("a.jpg", bucket=bucket)])

    assert open_snapshot(target.path, open_bucket).table["bucket"].to_pylist() == [bucket]


def test_a_public_bucket_is_refused_before_anything_is_written(http: httpx.Client) -> None:
    http.post("/bucket", json={"name": "for-all", "public": True}).raise_for_status()

    with pytest.raises(SnapshotError, match="'for-all' is public"):
        writer("for-all").prepare()
    with pytest.raises(SnapshotError, match="'for-all' is public"):
        add(writer("for-all"), [outcome("a.jpg")])

    assert open_bucket("for-all").list("") == []


def test_neither_visitors_nor_users_can_read_or_write_it(migrated_stack: LocalStack) -> None:
    part = add(writer("snapshots-kept"), [outcome("a.jpg")]).removeprefix("bucket:snapshots-kept/")
    ada = migrated_stack.users.ada
    signed_in = httpx.post(
        f"{migrated_stack.url}/auth/v1/token?grant_type=password",
        headers={"apikey": migrated_stack.anon_key},
        json={"email": ada.email, "password": ada.password},
    ).raise_for_status()

    for token in (migrated_stack.anon_jwt, signed_in.json()["access_token"]):
        with httpx.Client(
            base_url=f"{migrated_stack.url}/storage/v1/object",
            headers={"apikey": migrated_stack.anon_key, "Authorization": f"Bearer {token}"},
        ) as client:
            assert client.get(f"/authenticated/snapshots-kept/{part}").is_error
            assert client.get(f"/public/snapshots-kept/{part}").is_error
            assert client.post("/snapshots-kept/forged.parquet", content=b"x").is_error

    assert open_bucket("snapshots-kept").list("") == [part]


def test_a_snapshot_that_is_not_there_says_so() -> None:
    with pytest.raises(SnapshotError, match=r"no part-\*\.parquet under bucket:snapshots/nowhere"):
        open_snapshot("bucket:snapshots/nowhere", open_bucket)
