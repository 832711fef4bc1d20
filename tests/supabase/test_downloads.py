"""Reading objects from Storage as it really answers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from media_enricher.models import ErrorCode, StorageObject
from media_enricher.supabase.answers import (
    Download,
    LargerThanExpectedError,
    ObjectChangedError,
    bare_etag,
    content_range,
)
from media_enricher.supabase.downloads import Downloader
from media_enricher.supabase.errors import SupabaseError
from media_enricher.supabase.urls import object_url
from supabase_local import LocalStack
from tests.conftest import Put

MIB = 1024 * 1024
ALL_ALLOWED = "AZaz09_/!.*'() &$=@;:+,?-"
PATHS = [
    ALL_ALLOWED,
    "a//b///c.jpg",
    "photo 1 (copy).jpg",
    "100& =+;,@'$!*().png",
    "what?.jpg",
    "a/../b.jpg",
    "./c",
    "...",
    "x" * 251 + ".jpg",
    "folder/" * 145 + "12345.jpg",  # 1,024 bytes
]


def downloading(stack: LocalStack, use: Callable[[Downloader], Any], key: str | None = None) -> Any:
    """Run something with a downloader of the stack."""

    async def run() -> Any:
        async with Downloader(
            stack.url,
            key or stack.service_key,
            silence_seconds=10,
            spool_bytes=MIB,
        ) as downloader:
            return await use(downloader)

    return asyncio.run(run())


def whole(
    stack: LocalStack, wanted: StorageObject, room: int = MIB, most: int = 2**40, **more: Any
) -> Download:
    answer = downloading(
        stack, lambda downloader: downloader.whole(wanted, room=room, most=most), **more
    )
    assert isinstance(answer, Download)
    return answer


def part(stack: LocalStack, wanted: StorageObject, start: int, stop: int, **more: Any) -> Download:
    answer = downloading(stack, lambda downloader: downloader.part(wanted, start, stop, **more))
    assert isinstance(answer, Download)
    return answer


@pytest.fixture
def bucket(make_bucket: Callable[[], str]) -> str:
    return make_bucket()


@pytest.fixture
def upload(stack: LocalStack, bucket: str, http: httpx.Client) -> Callable[..., None]:
    """Upload under a path with any characters, by the URL that we quote ourselves."""

    def upload(path: str, data: bytes) -> None:
        url = object_url(stack.url, bucket, path, route="upload")
        answer = http.post(url, content=data, headers={"content-type": "image/png"})
        assert answer.status_code == 200, answer.text

    return upload


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:20])
def test_every_key_that_storage_takes_can_be_read(
    path: str, stack: LocalStack, bucket: str, upload: Callable[..., None]
) -> None:
    data = os.urandom(100)
    upload(path, data)
    wanted = StorageObject(bucket=bucket, path=path)
    assert whole(stack, wanted).data == data
    assert part(stack, wanted, 10, 20).data == data[10:20]


def test_what_an_answer_says_of_the_object(
    stack: LocalStack, bucket: str, put: Put, http: httpx.Client
) -> None:
    put(bucket, "a.png", b"0123456789", "image/png")
    (listed,) = http.post(f"/object/list/{bucket}", json={"prefix": ""}).json()
    wanted = StorageObject(bucket=bucket, path="a.png")
    for download in (whole(stack, wanted), part(stack, wanted, 0, 4)):
        assert download.size_bytes == 10
        assert download.etag == listed["metadata"]["eTag"]
        assert download.content_type == "image/png"
        assert download.answer_seconds > 0


def test_a_part_ends_with_its_object(stack: LocalStack, bucket: str, put: Put) -> None:
    put(bucket, "a", b"0123456789")
    wanted = StorageObject(bucket=bucket, path="a", size_bytes=10)
    assert part(stack, wanted, 0, 10_000).data == b"0123456789"
    assert part(stack, wanted, 7, 10_000).data == b"789"


@pytest.mark.parametrize("listed_size", [0, None, 77])
def test_an_empty_object_has_no_bytes_and_no_range(
    listed_size: int | None, stack: LocalStack, bucket: str, put: Put
) -> None:
    put(bucket, "empty", b"")
    wanted = StorageObject(bucket=bucket, path="empty", size_bytes=listed_size)
    for download in (whole(stack, wanted), part(stack, wanted, 0, 100)):
        assert (download.data, download.size_bytes) == (b"", 0)


def test_a_part_of_another_version_is_refused(stack: LocalStack, bucket: str, put: Put) -> None:
    put(bucket, "a", b"old" * 100)
    wanted = StorageObject(bucket=bucket, path="a", size_bytes=300)
    first = part(stack, wanted, 0, 100)
    put(bucket, "a", b"new" * 100)
    with pytest.raises(ObjectChangedError):
        part(stack, wanted, 100, 200, of_etag=first.etag)
    put(bucket, "a", b"")
    with pytest.raises(ObjectChangedError):
        part(stack, wanted, 100, 200, of_etag=first.etag)


def test_an_object_larger_than_the_room_for_it_is_not_read(
    stack: LocalStack, bucket: str, put: Put
) -> None:
    put(bucket, "a", b"x" * 1000)
    wanted = StorageObject(bucket=bucket, path="a")
    with pytest.raises(LargerThanExpectedError) as larger:
        whole(stack, wanted, room=999)
    assert larger.value.size_bytes == 1000
    assert len(whole(stack, wanted, room=1000).data) == 1000


def test_a_large_object_is_in_a_file(stack: LocalStack, bucket: str, put: Put) -> None:
    data = os.urandom(3 * MIB)
    put(bucket, "large", data)
    download = whole(stack, StorageObject(bucket=bucket, path="large"))
    assert download.file is not None
    with download:
        assert not download.data
        assert os.pread(download.file, len(data) + 1, 0) == data
        assert download.size_bytes == download.length == len(data)
    assert download.file is None


@pytest.mark.parametrize(
    ("path", "bucket_name"), [("missing", None), ("a/missing.jpg", None), ("a", "no-such-bucket")]
)
def test_what_is_not_there(
    path: str, bucket_name: str | None, stack: LocalStack, bucket: str
) -> None:
    with pytest.raises(SupabaseError) as refused:
        whole(stack, StorageObject(bucket=bucket_name or bucket, path=path))
    assert refused.value.code is ErrorCode.NOT_FOUND
    assert not refused.value.is_transient


def test_a_key_that_is_none_is_forbidden(stack: LocalStack, bucket: str, put: Put) -> None:
    put(bucket, "a", b"x")
    with pytest.raises(SupabaseError) as refused:
        whole(stack, StorageObject(bucket=bucket, path="a"), key="sb_secret_made_up")
    assert refused.value.code is ErrorCode.FORBIDDEN
    assert "sb_secret_made_up" not in str(refused.value)


def test_legacy_keys_are_taken(stack: LocalStack, bucket: str, put: Put) -> None:
    put(bucket, "a", b"x")
    wanted = StorageObject(bucket=bucket, path="a")
    assert whole(stack, wanted, key=stack.service_role_jwt).data == b"x"


@pytest.mark.parametrize(
    ("header", "meaning"),
    [
        ("bytes 0-9/10", (0, 10, 10)),
        ("bytes 5-5/*", (5, 6, None)),
        ("bytes */10", None),
        ("", None),
        (None, None),
    ],
)
def test_content_ranges(header: str | None, meaning: object) -> None:
    assert content_range(header) == meaning


def test_etags_are_compared_without_their_weakness() -> None:
    assert bare_etag('W/"abc"') == bare_etag('"abc"') == '"abc"'
    assert bare_etag("") is bare_etag(None) is None
