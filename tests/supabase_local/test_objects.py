"""Making, changing and removing objects: names, ETags, owners, limits, signed URLs."""

from __future__ import annotations

import base64
import hashlib
import json
import string
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from supabase import Client

from supabase_local import LocalStack
from supabase_local.storage.blobs import Backend, BlobStore
from tests.conftest import Put

ALLOWED = string.ascii_letters + string.digits + "_/!.*'() &$=@;:+,?-"


@pytest.mark.parametrize(
    "key",
    [
        ALLOWED,
        "a//b///c",
        "/leading",
        "trailing/",
        " spaces ",
        "x" * 255 + "/" + "y" * 255,
        "folder/" * 146 + "yz",
        "50+50=100?&$@;:,.jpg",
    ],
)
def test_every_name_that_storage_allows_goes_in_and_comes_out(
    http: httpx.Client, make_bucket: Callable[[], str], put: Put, key: str
) -> None:
    bucket = make_bucket()
    put(bucket, key, key.encode())

    assert http.get(f"/object/authenticated/{bucket}/{quote(key)}").content == key.encode()
    listed = http.post(f"/object/list-v2/{bucket}", json={"prefix": ""}).json()["objects"]
    assert [entry["name"] for entry in listed] == [key]


@pytest.mark.parametrize(
    "key",
    ["é.jpg", "日本.png", "🙂", "a~b", "a#b", "100%", "[x]", "a|b", "a\\b", "a\nb", "x" * 1025],
)
def test_a_name_that_storage_refuses_is_refused(
    http: httpx.Client, make_bucket: Callable[[], str], key: str
) -> None:
    answer = http.post(f"/object/{make_bucket()}/{quote(key)}", content=b"x")

    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidKey")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.text(ALLOWED, min_size=1, max_size=200), data=st.binary(max_size=64))
def test_any_name_and_any_bytes(
    http: httpx.Client, make_bucket: Callable[[], str], put: Put, key: str, data: bytes
) -> None:
    bucket = make_bucket()
    put(bucket, key, data)

    answer = http.get(f"/object/authenticated/{bucket}/{quote(key)}")

    assert answer.content == data
    assert answer.headers["etag"] == f'"{hashlib.md5(data).hexdigest()}"'


def test_an_overwrite_with_the_same_bytes_changes_the_version_but_not_the_etag(
    http: httpx.Client, make_bucket: Callable[[], str], put: Put
) -> None:
    bucket = make_bucket()
    put(bucket, "a.txt", b"same")
    before = http.get(f"/object/info/{bucket}/a.txt").json()
    put(bucket, "a.txt", b"same")
    after = http.get(f"/object/info/{bucket}/a.txt").json()
    put(bucket, "a.txt", b"other")
    changed = http.get(f"/object/info/{bucket}/a.txt").json()

    assert after["etag"] == before["etag"] != changed["etag"]
    assert after["version"] != before["version"]
    assert after["id"] == before["id"] == changed["id"]


@pytest.mark.parametrize("key", ["x" * 256, "folder/" + "x" * 256 + "/a.txt", "x" * 1024])
def test_a_part_of_a_path_that_no_file_can_have_as_its_name(
    stack: LocalStack, http: httpx.Client, make_bucket: Callable[[], str], put: Put, key: str
) -> None:
    """As the real server answers with files. S3 takes them."""
    bucket = make_bucket()
    put(bucket, "a.txt", b"first")
    before = set((stack.folder / "blobs").rglob("*"))

    transfer = {"bucketId": bucket, "sourceKey": "a.txt", "destinationKey": key}
    for answer in (
        http.post(f"/object/{bucket}/{key}", content=b"second"),
        http.post("/object/move", json=transfer),
        http.post("/object/copy", json=transfer),
    ):
        assert answer.status_code == 500
        assert answer.json()["code"] == "InternalError"
        assert "name too long" in answer.json()["message"]
    listed = http.post(f"/object/list-v2/{bucket}", json={"prefix": ""}).json()["objects"]
    assert [entry["name"] for entry in listed] == ["a.txt"]
    assert set((stack.folder / "blobs").rglob("*")) == before
    BlobStore(stack.folder / "blobs", Backend.S3).require_storable(key)


def test_without_upsert_an_object_is_not_replaced(
    http: httpx.Client, make_bucket: Callable[[], str], put: Put
) -> None:
    bucket = make_bucket()
    put(bucket, "a.txt", b"first")

    again = http.post(f"/object/{bucket}/a.txt", content=b"second")
    missing = http.put(f"/object/{bucket}/b.txt", content=b"second")

    assert (again.status_code, again.json()["statusCode"]) == (400, "409")
    assert again.json()["error"] == "Duplicate"
    assert missing.json()["code"] == "NoSuchKey"
    assert http.get(f"/object/{bucket}/a.txt").content == b"first"


def test_a_replaced_or_refused_blob_is_not_left_behind(
    stack: LocalStack, http: httpx.Client, make_bucket: Callable[[], str], put: Put
) -> None:
    def blobs() -> set[Path]:
        return {path for path in (stack.folder / "blobs").rglob("*") if path.is_file()}

    bucket = make_bucket()
    before = blobs()
    put(bucket, "a.txt", b"first")
    put(bucket, "a.txt", b"second")
    http.post(f"/object/{bucket}/a.txt", content=b"refused")
    http.post("/object/no-such-bucket/a.txt", content=b"refused")
    assert len(blobs() - before) == 1

    http.request("DELETE", f"/object/{bucket}", json={"prefixes": ["a.txt"]}).raise_for_status()
    assert blobs() == before


def test_the_metadata_has_the_real_servers_keys(
    service: Client, make_bucket: Callable[[], str]
) -> None:
    bucket = service.storage.from_(make_bucket())
    bucket.upload(
        "photo.jpg",
        b"12345",
        {"content-type": "image/jpeg", "cache-control": "60", "metadata": {"taken": "today"}},
    )

    (listed,) = bucket.list()
    assert {
        name: value for name, value in listed["metadata"].items() if name != "lastModified"
    } == {
        "eTag": f'"{hashlib.md5(b"12345").hexdigest()}"',
        "size": 5,
        "mimetype": "image/jpeg",
        "cacheControl": "max-age=60",
        "contentLength": 5,
        "httpStatusCode": 200,
    }
    info = bucket.info("photo.jpg")
    assert (info["size"], info["content_type"]) == (5, "image/jpeg")
    assert info["metadata"] == {"taken": "today"}
    assert bucket.exists("photo.jpg")
    assert not bucket.exists("no.jpg")


def test_raw_uploads_carry_user_metadata_in_a_header(
    http: httpx.Client, make_bucket: Callable[[], str]
) -> None:
    bucket = make_bucket()
    encoded = base64.b64encode(json.dumps({"a": 1}).encode()).decode()
    http.post(f"/object/{bucket}/a", content=b"x", headers={"x-metadata": encoded})

    assert http.get(f"/object/info/{bucket}/a").json()["metadata"] == {"a": 1}


def test_a_buckets_limits_hold(http: httpx.Client) -> None:
    name = f"limits-{hashlib.md5(str(id(http)).encode()).hexdigest()[:8]}"
    limits = {"name": name, "file_size_limit": "1KB", "allowed_mime_types": ["image/*"]}
    http.post("/bucket", json=limits).raise_for_status()

    def upload(size: int, content_type: str) -> httpx.Response:
        headers = {"content-type": content_type, "x-upsert": "true"}
        return http.post(f"/object/{name}/a", content=b"x" * size, headers=headers)

    large = upload(1001, "image/png")
    wrong = upload(10, "text/plain")
    assert upload(1000, "image/png").status_code == 200
    assert (large.json()["statusCode"], large.json()["code"]) == ("413", "EntityTooLarge")
    assert (wrong.json()["statusCode"], wrong.json()["error"]) == ("415", "invalid_mime_type")


def test_move_and_copy(service: Client, make_bucket: Callable[[], str]) -> None:
    name = make_bucket()
    bucket = service.storage.from_(name)
    bucket.upload("a.txt", b"bytes", {"content-type": "text/plain"})
    original = bucket.info("a.txt")

    bucket.move("a.txt", "moved/a.txt")
    bucket.copy("moved/a.txt", "copied/a.txt")

    assert not bucket.exists("a.txt")
    assert bucket.download("moved/a.txt") == bucket.download("copied/a.txt") == b"bytes"
    assert bucket.info("moved/a.txt")["id"] == original["id"]
    assert bucket.info("copied/a.txt")["id"] != original["id"]
    bucket.remove(["moved/a.txt"])
    assert bucket.download("copied/a.txt") == b"bytes"


def test_signed_urls_open_one_object_for_a_while(
    service: Client, make_bucket: Callable[[], str]
) -> None:
    name = make_bucket()
    bucket = service.storage.from_(name)
    bucket.upload("a b.txt", b"bytes", {"content-type": "text/plain"})
    bucket.upload("other.txt", b"other", {"content-type": "text/plain"})

    url = bucket.create_signed_url("a b.txt", 60)["signedURL"]
    assert url
    assert httpx.get(url).content == b"bytes"
    stolen = url.replace("a%20b.txt", "other.txt")
    assert httpx.get(stolen).json()["code"] == "InvalidSignature"
    expired = bucket.create_signed_url("a b.txt", -1)["signedURL"]
    assert expired
    assert httpx.get(expired).status_code == 400
    many = bucket.create_signed_urls(["other.txt", "missing.txt"], 60)
    assert [bool(one["signedURL"]) for one in many] == [True, False]


def test_signed_upload_urls(
    service: Client, stack: LocalStack, make_bucket: Callable[[], str]
) -> None:
    bucket = service.storage.from_(make_bucket())
    signed = bucket.create_signed_upload_url("up.txt")

    bucket.upload_to_signed_url("up.txt", signed["token"], b"sent", {"content-type": "text/plain"})

    assert bucket.download("up.txt") == b"sent"


def test_a_bucket_is_emptied_before_it_is_deleted(
    service: Client, make_bucket: Callable[[], str]
) -> None:
    name = make_bucket()
    service.storage.from_(name).upload("a/b.txt", b"x", {"content-type": "text/plain"})

    with pytest.raises(Exception, match="not empty"):
        service.storage.delete_bucket(name)
    service.storage.empty_bucket(name)
    service.storage.delete_bucket(name)
    with pytest.raises(Exception, match="Bucket not found"):
        service.storage.get_bucket(name)


def test_a_bad_bucket_name_and_a_bad_body_say_so(http: httpx.Client) -> None:
    assert http.post("/bucket", json={"name": "a/b"}).json()["code"] == "InvalidBucketName"
    assert http.post("/bucket", content=b"{").json()["code"] == "InvalidRequest"
    assert http.patch("/bucket").json()["statusCode"] == "404"
