"""GET and HEAD of an object: ranges, ETags, access, and what a refusal looks like."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supabase_local import LocalStack
from supabase_local.storage.blobs import Backend, BlobStore
from supabase_local.storage.downloads import Download, requested_range, send_object
from supabase_local.storage.errors import StorageError
from supabase_local.storage.lookups import ObjectMetadata, StoredObject
from tests.conftest import Put
from tests.waiting import wait_for

ALPHABET = bytes(range(97, 123))


@pytest.fixture
def alphabet(make_bucket: Callable[[], str], put: Put) -> str:
    """The path of an object that holds the alphabet."""
    bucket = make_bucket()
    put(bucket, "alphabet.txt", ALPHABET, "text/plain")
    return f"/object/authenticated/{bucket}/alphabet.txt"


def test_a_whole_object_comes_with_its_metadata(http: httpx.Client, alphabet: str) -> None:
    answer = http.get(alphabet)

    assert answer.status_code == 200
    assert answer.content == ALPHABET
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["etag"] == f'"{hashlib.md5(ALPHABET).hexdigest()}"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-length"] == "26"
    assert answer.headers["last-modified"].endswith("GMT")
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("asked", "expected", "content_range"),
    [
        ("bytes=0-3", b"abcd", "bytes 0-3/26"),
        ("bytes=22-", b"wxyz", "bytes 22-25/26"),
        ("bytes=-2", b"yz", "bytes 24-25/26"),
        ("bytes=-99", ALPHABET, "bytes 0-25/26"),
        ("bytes=20-1000", b"uvwxyz", "bytes 20-25/26"),
    ],
)
def test_a_range_is_a_part(
    http: httpx.Client, alphabet: str, asked: str, expected: bytes, content_range: str
) -> None:
    answer = http.get(alphabet, headers={"range": asked})

    assert (answer.status_code, answer.content) == (206, expected)
    assert answer.headers["content-range"] == content_range
    assert answer.headers["etag"] == http.get(alphabet).headers["etag"]


@pytest.mark.parametrize("asked", ["bytes=3-1", "bytes=0-1,4-5", "bytes=-", "lines=1-2"])
def test_a_range_that_means_nothing_is_ignored(
    http: httpx.Client, alphabet: str, asked: str
) -> None:
    answer = http.get(alphabet, headers={"range": asked})

    assert (answer.status_code, answer.content) == (200, ALPHABET)


def test_a_range_past_the_end_is_416(http: httpx.Client, alphabet: str) -> None:
    answer = http.get(alphabet, headers={"range": "bytes=26-"})

    assert answer.status_code == 416
    assert answer.json()["code"] == "InvalidRange"


@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=0-99", "bytes=-1"])
def test_any_range_of_an_empty_object_is_416(
    http: httpx.Client, make_bucket: Callable[[], str], put: Put, asked: str
) -> None:
    bucket = make_bucket()
    put(bucket, "empty", b"")
    path = f"/object/authenticated/{bucket}/empty"

    assert http.get(path).content == b""
    assert http.get(path, headers={"range": asked}).status_code == 416


def test_a_known_etag_is_304_and_head_ignores_it(http: httpx.Client, alphabet: str) -> None:
    etag = http.get(alphabet).headers["etag"]

    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = http.get(alphabet, headers={"if-none-match": known})
        assert (answer.status_code, answer.content) == (304, b"")
    assert http.get(alphabet, headers={"if-none-match": '"other"'}).status_code == 200
    head = http.head(alphabet, headers={"if-none-match": etag, "range": "bytes=0-1"})
    assert (head.status_code, head.headers["content-length"]) == (200, "26")


def test_a_large_object_comes_in_order(
    http: httpx.Client, make_bucket: Callable[[], str], put: Put
) -> None:
    data = random.Random(0).randbytes(17 * 1024 * 1024)
    bucket = make_bucket()
    put(bucket, "large", data)

    whole = http.get(f"/object/authenticated/{bucket}/large")
    part = http.get(
        f"/object/authenticated/{bucket}/large", headers={"range": "bytes=1000000-3000000"}
    )

    assert whole.content == data
    assert part.content == data[1_000_000:3_000_001]
    assert whole.headers["etag"].endswith('-2"')  # a multipart upload's, as above 16 MiB


def test_html_is_served_as_text(
    http: httpx.Client, make_bucket: Callable[[], str], put: Put
) -> None:
    bucket = make_bucket()
    put(bucket, "page.html", b"<script>", "text/html")

    assert http.get(f"/object/{bucket}/page.html").headers["content-type"] == "text/plain"


def test_what_is_missing_is_400_with_the_truth_in_the_body(
    http: httpx.Client, make_bucket: Callable[[], str]
) -> None:
    key = http.get(f"/object/authenticated/{make_bucket()}/no-such-key")
    bucket = http.get("/object/authenticated/no-such-bucket/key")

    assert (key.status_code, bucket.status_code) == (400, 400)
    assert key.json() == {
        "statusCode": "404",
        "error": "not_found",
        "message": "Object not found",
        "code": "NoSuchKey",
    }
    assert bucket.json()["code"] == "NoSuchBucket"


def test_a_row_without_its_bytes_is_an_internal_error(
    stack: LocalStack, http: httpx.Client, alphabet: str
) -> None:
    """As on the real server with files. Its info and HEAD come from the row, and say nothing."""
    _, _, _, bucket, key = alphabet.split("/")
    version = http.get(f"/object/info/{bucket}/{key}").json()["version"]
    (stack.folder / "blobs" / version[:2] / version).unlink()

    answer = http.get(alphabet)

    assert answer.status_code == 500
    assert answer.json() == {
        "statusCode": "500",
        "error": "Internal",
        "message": "Internal Server Error",
        "code": "InternalError",
    }
    assert http.get(f"/object/info/{bucket}/{key}").json()["size"] == 26
    assert http.head(alphabet).status_code == 200


def test_a_row_without_its_bytes_in_s3_is_no_such_key(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, Backend.S3)
    moment = ObjectMetadata(last_modified="2026-11-28T12:00:00.000Z")

    with pytest.raises(StorageError) as lost:
        asyncio.run(
            send_object(StoredObject("no-such-version", moment), store, Download("GET", {}), None)
        )

    assert (lost.value.http_status, lost.value.code) == (400, "NoSuchKey")


def test_a_bad_token_is_told_only_where_one_is_needed(stack: LocalStack, alphabet: str) -> None:
    path = alphabet.removeprefix("/object/authenticated/")
    headers = {"authorization": "Bearer eyJhbGciOiJIUzI1NiJ9.e30.bad"}
    base = f"{stack.url}/storage/v1/object"

    needed = httpx.get(f"{base}/authenticated/{path}", headers=headers)
    open_to_all = httpx.get(f"{base}/{path}", headers=headers)

    assert (needed.status_code, needed.json()["statusCode"]) == (400, "403")
    assert (open_to_all.status_code, open_to_all.json()["message"]) == (400, "Bucket not found")


def test_a_public_bucket_needs_no_key_and_a_private_one_does(
    stack: LocalStack, http: httpx.Client, alphabet: str
) -> None:
    bucket, key = alphabet.split("/")[3:]
    public = f"{stack.url}/storage/v1/object/public/{bucket}/{key}"

    assert httpx.get(public).json()["message"] == "Bucket not found"
    http.put(f"/bucket/{bucket}", json={"public": True}).raise_for_status()
    assert httpx.get(public).content == ALPHABET
    saved = httpx.get(f"{public}?download=my%20file.txt")
    assert "filename*=UTF-8''my%20file.txt" in saved.headers["content-disposition"]


def test_many_at_once_each_get_their_own(
    stack: LocalStack, make_bucket: Callable[[], str], put: Put
) -> None:
    bucket = make_bucket()
    for number in range(50):
        put(bucket, f"{number}", str(number).encode())
    url = f"{stack.url}/storage/v1/object/authenticated/{bucket}"

    async def read(session: aiohttp.ClientSession, number: int) -> tuple[int, bytes]:
        # Pauses of all lengths, so that reads arrive in every state of the lookup.
        await asyncio.sleep(random.random() * 0.3)
        timeout = aiohttp.ClientTimeout(total=20)
        async with session.get(f"{url}/{number}", timeout=timeout) as answer:
            return answer.status, await answer.read()

    async def read_all() -> list[tuple[int, bytes]]:
        async with aiohttp.ClientSession(headers={"apikey": stack.service_key}) as session:
            return await asyncio.gather(*(read(session, number % 60) for number in range(600)))

    answers = asyncio.run(read_all())

    for number, (status, body) in enumerate(answers):
        key = number % 60
        expected = (200, str(key).encode()) if key < 50 else (400, body)
        assert (status, body) == expected


def test_the_access_log_counts_downloads(
    stack: LocalStack, http: httpx.Client, alphabet: str
) -> None:
    http.get(alphabet, headers={"range": "bytes=0-3"})
    http.get(alphabet)

    def of_this_one() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in stack.access_log.read_text().splitlines()]
        return [line for line in lines if line["path"] == alphabet]

    wait_for(lambda: len(of_this_one()) == 2)  # the line comes after the answer
    assert [(line["status"], line["bytes"], line["range"]) for line in of_this_one()] == [
        (206, 4, "bytes=0-3"),
        (200, 26, None),
    ]
    assert of_this_one()[0]["method"] == "GET"


@given(
    data=st.binary(min_size=1, max_size=64),
    start=st.none() | st.integers(0, 80),
    end=st.none() | st.integers(0, 80),
)
def test_a_range_selects_what_python_slices_do(
    data: bytes, start: int | None, end: int | None
) -> None:
    header = f"bytes={'' if start is None else start}-{'' if end is None else end}".encode()
    if start is None:
        expected = data[-end:] if end else b""
    else:
        expected = data[start : None if end is None else end + 1]
    is_meaningless = (start is None and end is None) or (
        start is not None and end is not None and end < start
    )
    try:
        window = requested_range(header, len(data))
    except StorageError:
        assert expected == b""
        return
    if is_meaningless:
        assert window is None
        return
    assert window is not None
    first, length = window
    assert data[first : first + length] == expected
    assert expected
