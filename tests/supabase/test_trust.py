"""Which responses are the object: etags of both kinds that S3 has, with and without quotes."""

from __future__ import annotations

import asyncio
import hashlib

import msgspec
import pytest

from media_enricher.models import ErrorCode, StorageObject
from media_enricher.supabase.errors import SupabaseError
from media_enricher.supabase.trust import ObjectInfo, require_trusted

DATA = b"the bytes of an object" * 100
MD5 = f'"{hashlib.md5(DATA).hexdigest()}"'
OTHER_MD5 = f'"{hashlib.md5(b"other").hexdigest()}"'
IN_TWO = f'"{hashlib.md5(b"parts").hexdigest()}-2"'
IN_THREE = f'"{hashlib.md5(b"more parts").hexdigest()}-3"'


class Answer(msgspec.Struct):
    data: bytes
    size_bytes: int | None
    etag: str | None
    listed_etag: str | None = None


class Questions:
    """What Storage says now. Without an answer, a question fails the test."""

    def __init__(self, info: str | None = None, served: str | None = None) -> None:
        self._info = info
        self._served = served

    async def info(self) -> ObjectInfo:
        assert self._info, "the info was asked for"
        return ObjectInfo(self._info, len(DATA))

    async def served(self) -> ObjectInfo:
        assert self._served, "it was asked what is served"
        return ObjectInfo(self._served, len(DATA))


def recorded(
    listed: str | None, served: str | None, ask: Questions | None = None, *, data: bytes = DATA
) -> str | None:
    """The etag to record of a response with these bytes, under the etag `served`."""
    answer = Answer(data, len(DATA), served)
    source = StorageObject(bucket="b", path="a", etag=listed, size_bytes=len(DATA))
    asyncio.run(require_trusted(source, answer, ask or Questions()))
    return answer.listed_etag or answer.etag


PART = DATA[:10]
"""Of an object that is read by ranges, or too large for its MD5 to be looked at."""


@pytest.mark.parametrize("etag", [MD5, IN_TWO, MD5.strip('"'), IN_TWO.strip('"')])
@pytest.mark.parametrize("data", [DATA, PART])
def test_the_etag_of_the_listing_is_that_of_the_object(etag: str, data: bytes) -> None:
    assert recorded(etag, etag, data=data) == etag


@pytest.mark.parametrize("etag", [MD5, IN_TWO])
def test_quotes_make_no_other_etag_and_the_listing_decides_on_them(etag: str) -> None:
    bare = etag.strip('"')
    assert recorded(bare, etag, data=PART) == bare
    assert recorded(etag, bare, data=PART) == etag


@pytest.mark.parametrize("served", [IN_TWO, OTHER_MD5, '"a-proxy"'])
def test_the_bytes_of_the_listing_are_known_by_their_md5(served: str) -> None:
    assert recorded(MD5, served) == MD5


@pytest.mark.parametrize(
    ("listed", "served"), [(IN_TWO, MD5), (MD5, IN_TWO), (IN_TWO, IN_THREE), (IN_TWO, OTHER_MD5)]
)
def test_the_same_bytes_under_etags_of_two_kinds(listed: str, served: str) -> None:
    """A copy in S3 makes one of the other kind, and the table keeps that of the listing."""
    ask = Questions(info=listed, served=served)
    assert recorded(listed, served, ask, data=PART) == listed


def test_a_whole_object_whose_listing_has_a_multipart_etag_is_not_read_in_each_run() -> None:
    """Its MD5 shows that it is complete, but under its own etag planning would find it changed."""
    assert recorded(IN_TWO, MD5, Questions(info=IN_TWO, served=MD5)) == IN_TWO


@pytest.mark.parametrize("newer", [MD5, IN_TWO, IN_THREE])
def test_an_object_that_was_overwritten_since_has_its_new_etag(newer: str) -> None:
    listed = OTHER_MD5 if newer != OTHER_MD5 else MD5
    assert recorded(listed, newer, Questions(info=newer), data=PART) == newer


def test_a_cache_that_serves_an_older_version_is_found_out() -> None:
    with pytest.raises(SupabaseError) as refused:
        recorded(IN_TWO, OTHER_MD5, Questions(info=IN_TWO, served=IN_TWO), data=PART)
    assert refused.value.code is ErrorCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("listed", "served", "now"),
    [
        (MD5, OTHER_MD5, MD5),  # of one kind: they contradict each other
        (IN_TWO, '"a-page"', IN_TWO),
        (IN_TWO, '"65f-2a1b"', IN_TWO),  # as web servers make them of time and size
        ('"a-listing"', IN_TWO, '"a-listing"'),
        (IN_TWO, MD5, IN_THREE),  # overwritten again: neither is what there is now
        (IN_TWO, f'"{"0" * 32}-0"', IN_TWO),
    ],
)
def test_what_contradicts_the_listing_fails_for_now(listed: str, served: str, now: str) -> None:
    with pytest.raises(SupabaseError) as refused:
        recorded(listed, served, Questions(info=now, served=served), data=PART)
    assert refused.value.is_transient


def test_another_size_is_another_object_whatever_the_etags() -> None:
    answer = Answer(PART, len(DATA) + 1, MD5)
    source = StorageObject(bucket="b", path="a", etag=IN_TWO, size_bytes=len(DATA))
    with pytest.raises(SupabaseError, match="expected 2,200 bytes"):
        asyncio.run(require_trusted(source, answer, Questions(info=IN_TWO, served=MD5)))
