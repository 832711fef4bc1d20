"""One bucket of Storage: objects of any allowed name, whole, and lists longer than a page."""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from supabase import Client

from media_enricher.models import ErrorCode
from media_enricher.supabase.bucket import Bucket, buckets
from media_enricher.supabase.errors import SupabaseError
from media_enricher.supabase.urls import object_url

ALLOWED = "abzAZ09_/!.*'() &$=@;:+,?-"


@pytest.fixture
def bucket(client: Client, make_bucket: Callable[[], str]) -> Bucket:
    return Bucket(client, make_bucket())


def test_exists_and_create_private(client: Client) -> None:
    bucket = Bucket(client, f"new-{uuid4().hex[:8]}")
    assert not bucket.exists()
    assert bucket.is_public() is None
    bucket.create_private()
    bucket.create_private()
    assert bucket.exists()
    assert bucket.is_public() is False


def test_a_public_bucket(client: Client) -> None:
    name = f"open-{uuid4().hex[:8]}"
    client.storage.create_bucket(name, options={"public": True})
    assert Bucket(client, name).is_public()


@pytest.mark.parametrize(
    "path",
    ["a b+c.jpg", "what?.jpg", "x&y=z;:@,$.jpg", "it's (1)!.jpg", "a//b.jpg", "a/../b.jpg",
     "*.jpg", "n" * 255, "n/" * 512, "/leading.jpg", "trailing/"],
)  # fmt: skip
def test_names_mean_themselves(bucket: Bucket, path: str) -> None:
    bucket.upload(path, b"old", "image/jpeg")
    bucket.upload(path, path.encode(), "image/jpeg")
    assert bucket.download(path) == path.encode()
    assert bucket.list() == [path]


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(path=st.text(ALLOWED, min_size=1, max_size=40))
def test_any_allowed_name(bucket: Bucket, path: str) -> None:
    content = uuid4().bytes
    try:
        bucket.upload(path, content, "image/png")
    except SupabaseError as error:  # the server has its reasons, such as a name of blanks
        assert error.code is ErrorCode.REJECTED  # noqa: PT017
        return
    assert bucket.download(path) == content


@given(path=st.text(min_size=1, max_size=60))
def test_a_url_holds_the_path_and_nothing_else(path: str) -> None:
    parts = urlsplit(object_url("http://host", "a bucket", path))
    assert (parts.query, parts.fragment) == ("", "")
    assert unquote(parts.path) == f"/storage/v1/object/authenticated/a bucket/{path}"
    assert not {".", ".."} & set(parts.path.split("/"))


def test_the_content_type_is_kept(client: Client, bucket: Bucket) -> None:
    bucket.upload("part.parquet", b"", "application/vnd.apache.parquet")
    info = client.storage.from_(bucket.name).info("part.parquet")
    assert "application/vnd.apache.parquet" in str(info)


def test_a_missing_object_is_not_found(bucket: Bucket) -> None:
    with pytest.raises(SupabaseError, match="nowhere") as failed:
        bucket.download("nowhere.jpg")
    assert failed.value.code is ErrorCode.NOT_FOUND


def test_a_refused_name_is_told(bucket: Bucket) -> None:
    with pytest.raises(SupabaseError, match="InvalidKey") as failed:
        bucket.upload("é.jpg", b"", "image/jpeg")
    assert failed.value.code is ErrorCode.REJECTED


def test_a_signed_url_opens_its_object_without_a_key_for_a_while(bucket: Bucket) -> None:
    paths = ["a b+c.jpg", "what?token=.jpg", "it's (1)!/x&y=z;:@,$.jpg", "a//b/../c.jpg", "/d.jpg"]
    for path in paths:
        bucket.upload(path, path.encode(), "image/jpeg")
    signed = bucket.sign([*paths, "missing.jpg"], 60)
    assert set(signed) == set(paths)
    for path, url in signed.items():
        assert httpx.get(url).content == path.encode()
    stale = bucket.sign(["/d.jpg"], 1)["/d.jpg"]
    sleep(2.1)
    assert httpx.get(stale).status_code >= 400
    assert bucket.sign([], 60) == {}


def test_a_signed_url_opens_nothing_else(bucket: Bucket) -> None:
    for path in ("a.jpg", "b.jpg"):
        bucket.upload(path, b"", "image/jpeg")
    url = bucket.sign(["a.jpg"], 60)["a.jpg"]
    assert httpx.get(url.replace("/a.jpg", "/b.jpg")).status_code >= 400


def test_buckets_are_listed_by_name(client: Client, bucket: Bucket) -> None:
    names = buckets(client)
    assert bucket.name in names
    assert names == sorted(names)


def test_a_list_is_of_literal_prefixes_at_any_depth(bucket: Bucket) -> None:
    for path in ("a/b/c.txt", "a/d.txt", "a.txt", "ab/e.txt"):
        bucket.upload(path, b"", "text/plain")
    assert bucket.list("a/") == ["a/b/c.txt", "a/d.txt"]
    assert bucket.list("a") == ["a.txt", "a/b/c.txt", "a/d.txt", "ab/e.txt"]
    assert bucket.list("%") == []


def test_a_list_longer_than_a_page(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media_enricher.supabase.bucket._LIST_ROWS", 2)
    paths = [f"{number}.txt" for number in range(5)]
    for path in paths:
        bucket.upload(path, b"", "text/plain")
    assert bucket.list() == paths


def test_the_oldest_of_a_folder_come_first_by_when_they_were_written(bucket: Bucket) -> None:
    for path in ("a/1.txt", "a/2.txt", "a/below/3.txt", "b/4.txt", "top.txt", "a/1.txt"):
        bucket.upload(path, b"", "text/plain")
    oldest = bucket.oldest("a", 100)
    assert list(oldest) == ["a/2.txt", "a/1.txt"]
    assert sorted(oldest.values()) == list(oldest.values())
    assert oldest["a/1.txt"].tzinfo
    assert list(bucket.oldest("", 100)) == ["top.txt"]
    assert bucket.oldest("nowhere", 100) == {}


def test_what_is_deleted_is_gone_and_the_rest_stays(bucket: Bucket) -> None:
    paths = ["a b+c.jpg", "it's (1)!/x&y=z;:@,$.jpg", "a//b.jpg", "/leading.jpg"]
    for path in [*paths, "stays.txt"]:
        bucket.upload(path, b"", "text/plain")
    bucket.delete([*paths, "never was.txt"])
    bucket.delete(paths)
    bucket.delete([])
    assert bucket.list() == ["stays.txt"]
