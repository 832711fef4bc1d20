"""Download objects from Supabase Storage: a part of one, or all of it.

This uses aiohttp, because storage3 reads whole files into memory, does not support Range, and
changes paths. Every failure is a `SupabaseError`. The caller limits concurrent requests.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Literal, Self, TypeVar

import aiohttp
import msgspec
from yarl import URL

from media_enricher.models import ErrorCode, StorageObject
from media_enricher.supabase.answers import (
    Answer,
    Download,
    LargerThanExpectedError,
    ObjectChangedError,
    Received,
    bare_etag,
    take_all,
)
from media_enricher.supabase.connections import Connections, connected_at, proxy_for
from media_enricher.supabase.errors import SupabaseError
from media_enricher.supabase.missing_bytes import (
    ReadableAgainError,
    explain,
    may_be_missing_bytes,
)
from media_enricher.supabase.trust import ObjectInfo, require_trusted
from media_enricher.supabase.urls import listing_url, object_url

_PAST_CACHES = {"Cache-Control": "no-cache", "Pragma": "no-cache"}
_LISTED_OTHERS = 100
_TRIED_OTHERS = 3
"""So many other objects of a bucket are tried, to see whether any can be read."""


_Decoded = TypeVar("_Decoded")


class _ListedMetadata(msgspec.Struct, rename="camel"):
    e_tag: str | None = None
    size: int | None = None


class _ListedObject(msgspec.Struct):
    name: str
    metadata: _ListedMetadata | None = None


class _ListedObjects(msgspec.Struct):
    objects: list[_ListedObject] = []


class Downloader:
    """Reads objects of one Supabase project. An async context manager; for one event loop."""

    def __init__(
        self, supabase_url: str, service_key: str, *, silence_seconds: float, spool_bytes: int
    ) -> None:
        """Store the options.

        Args:
            supabase_url: the project's URL, without a slash at its end.
            service_key: a key that may read the objects.
            silence_seconds: how long to wait for a connection, or for more bytes of a response.
            spool_bytes: a larger object is stored in a temporary file.
        """
        self._base = supabase_url
        self._url = URL(supabase_url)
        self._service_key = service_key
        self._silence_seconds = silence_seconds
        self._spool_bytes = spool_bytes
        self._read_last: StorageObject | None = None

    async def __aenter__(self) -> Self:
        self._connections = Connections(self._base, self._silence_seconds)
        self._session = aiohttp.ClientSession(
            headers={
                "apikey": self._service_key,
                "Authorization": f"Bearer {self._service_key}",
                # If a CDN compresses, the etag is weak, and a range counts compressed bytes.
                "Accept-Encoding": "identity",
                "User-Agent": "media-enricher",
            },
            connector=self._connections,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self._silence_seconds, sock_read=self._silence_seconds
            ),
            proxy=proxy_for(self._base),
        )
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    def open_ahead(self, count: int) -> None:
        """Open connections for so many requests at once in the background, if they are fewer."""
        self._connections.open_ahead(count)

    async def part(
        self,
        wanted: StorageObject,
        start: int,
        stop: int,
        *,
        of_etag: str | None = None,
        received: Received = take_all,
    ) -> Download:
        """The bytes from `start` up to `stop`, or up to the end of the object.

        Args:
            wanted: the object. With a listed size of 0, no Range is sent, because the server would
                reject it.
            start: the first byte.
            stop: the byte after the last one.
            of_etag: the version that the part must belong to; None for any.
            received: told of all bytes of the object that arrive, also of those that are no use.

        Raises:
            ObjectChangedError: the object has another etag than `of_etag`, or ends before `start`.
            SupabaseError: there is no such object, no response, or one that is not the object.
        """
        return await self._trusted(
            wanted, lambda: self._part(wanted, start, stop, of_etag, received)
        )

    async def _part(
        self,
        wanted: StorageObject,
        start: int,
        stop: int,
        of_etag: str | None,
        received: Received,
    ) -> Download:
        if wanted.size_bytes != 0:
            byte_range = f"bytes={start}-{stop - 1}"
            async with self._get(wanted, byte_range=byte_range, received=received) as answer:
                if of_etag is not None and answer.etag != of_etag and answer.status != 416:
                    raise ObjectChangedError
                if answer.part_range is not None:
                    return await answer.as_part(start, stop, answer.part_range)
                if answer.status == 200:
                    return await answer.cut(start, stop)
            # 416: the object is empty now. Otherwise: a range of compressed bytes; it is useless.
        async with self._get(wanted, received=received) as answer:
            if of_etag is not None and answer.etag != of_etag:
                raise ObjectChangedError
            return await answer.cut(start, stop)

    async def whole(
        self, wanted: StorageObject, *, room: int, most: int, received: Received = take_all
    ) -> Download:
        """All of an object: in memory, or in a temporary file above `spool_bytes`.

        Args:
            wanted: the object.
            room: the bytes of memory that the caller has reserved for it.
            most: a larger object is not read.
            received: told of all bytes of the object that arrive, also of those that are no use.

        Raises:
            LargerThanExpectedError: it has more than `most` bytes, or needs more memory than
                `room`.
            SupabaseError: there is no such object, no response, an incomplete one, or one that is
                not the object.
        """
        return await self._trusted(wanted, lambda: self._whole(wanted, room, most, received))

    async def _whole(
        self, wanted: StorageObject, room: int, most: int, received: Received
    ) -> Download:
        async with self._get(wanted, received=received) as answer:
            length = answer.length
            if length is None:
                return await answer.spooled(in_memory=room, most=most)
            if self._spool_bytes < length <= most:
                return await answer.spooled(in_memory=0, most=most)
            if length > min(room, most):
                raise LargerThanExpectedError(length)
            data = await answer.read_all()
            return answer.download(data, len(data))

    async def _trusted(
        self, wanted: StorageObject, download_it: Callable[[], Awaitable[Download]]
    ) -> Download:
        """Download an object, and require that it is the one that was listed.

        Raises:
            ObjectChangedError: the object could not be read, and can be now.
            SupabaseError: as `part` and `whole` say.
        """
        ask = _Questions(self, wanted)
        try:
            download = await download_it()
        except SupabaseError as failure:
            if not may_be_missing_bytes(failure):
                raise
            reason = await explain(failure, ask)
            if isinstance(reason, ReadableAgainError):
                raise ObjectChangedError from failure
            raise reason from failure
        try:
            await require_trusted(wanted, download, ask)
        except BaseException:
            download.close()
            raise
        if download.etag is not None and download.size_bytes:
            self._read_last = StorageObject(
                bucket=wanted.bucket,
                path=wanted.path,
                etag=download.etag,
                size_bytes=download.size_bytes,
            )
        return download

    async def served(self, wanted: StorageObject) -> ObjectInfo:
        """Under which etag and size an object is downloaded now, past all caches.

        Raises:
            SupabaseError: there is no such object, or no response.
        """
        byte_range = "bytes=0-0" if wanted.size_bytes != 0 else None
        async with self._get(wanted, byte_range=byte_range, headers=_PAST_CACHES) as answer:
            size = answer.part_range[2] if answer.part_range else answer.length
            return ObjectInfo(answer.etag, size)

    async def others(self, wanted: StorageObject) -> list[StorageObject]:
        """A few other objects of the same bucket: the one that was read last, or some at random.

        Raises:
            SupabaseError: the bucket cannot be listed.
        """
        last = self._read_last
        if last is not None and last.bucket == wanted.bucket and last.path != wanted.path:
            return [last]
        url = URL(listing_url(self._base, wanted.bucket), encoded=True)
        async with self._request(
            "POST", url, {}, json={"prefix": "", "limit": _LISTED_OTHERS}
        ) as answer:
            listed = _decode(await answer.read_all(), _ListedObjects, "listing").objects
        others = [
            StorageObject(
                bucket=wanted.bucket,
                path=each.name,
                etag=bare_etag(each.metadata.e_tag),
                size_bytes=each.metadata.size,
            )
            for each in listed
            if each.name != wanted.path and each.metadata and each.metadata.size
        ]
        return random.sample(others, min(_TRIED_OTHERS, len(others)))

    async def info(self, wanted: StorageObject) -> ObjectInfo:
        """What Storage says about an object now. It comes from the database, not from the file.

        Raises:
            SupabaseError: there is no such object, or no valid response.
        """
        async with self._get(wanted, route="info/authenticated") as answer:
            info = _decode(await answer.read_all(), ObjectInfo, "object's info")
        return ObjectInfo(bare_etag(info.etag), info.size)

    def _get(
        self,
        wanted: StorageObject,
        *,
        byte_range: str | None = None,
        route: Literal["authenticated", "info/authenticated"] = "authenticated",
        headers: Mapping[str, str] | None = None,
        received: Received = take_all,
    ) -> AbstractAsyncContextManager[Answer]:
        """Request an object, as `_request` does."""
        path = object_url(self._url.raw_path.rstrip("/"), wanted.bucket, wanted.path, route=route)
        # In half the time that it takes to parse the whole URL.
        url = self._url.with_path(path, encoded=True)
        sent = {**(headers or {}), **({"Range": byte_range} if byte_range else {})}
        return self._request("GET", url, sent, received=received)

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        *,
        json: object = None,
        received: Received = take_all,
    ) -> AsyncIterator[Answer]:
        """Make a request; turn all errors of the connection into SupabaseError."""
        asked_at = time.perf_counter()
        try:
            response = await self._session.request(
                method, url, headers=headers, json=json, allow_redirects=False
            )
            try:
                sent_at = max(asked_at, connected_at.get())
                answer = Answer(response, time.perf_counter() - sent_at, received)
                has_range = "Range" in headers
                if answer.status not in (200, 206) and not (has_range and answer.status == 416):
                    raise await answer.refusal()
                try:
                    yield answer
                finally:
                    await answer.count_unread()
            finally:
                response.release()  # closes the connection if the body is not read completely
        except TimeoutError:
            raise SupabaseError(
                ErrorCode.TIMEOUT, f"Storage sent nothing for {self._silence_seconds:g} seconds"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise SupabaseError(ErrorCode.NETWORK, f"{type(error).__name__}: {error}") from error


class _Questions:
    """What can be asked about one object whose download failed, or is not as it was listed."""

    def __init__(self, downloader: Downloader, wanted: StorageObject) -> None:
        self._downloader = downloader
        self._wanted = wanted

    async def info(self) -> ObjectInfo:
        return await self._downloader.info(self._wanted)

    async def served(self) -> ObjectInfo:
        return await self._downloader.served(self._wanted)

    async def is_another_served(self) -> bool:
        """Whether another object can be downloaded. A page of a proxy has not the right etag."""
        try:
            for other in await self._downloader.others(self._wanted):
                try:
                    served = await self._downloader.served(other)
                except SupabaseError:
                    continue
                if served.etag is not None and (served.etag, served.size) == (
                    other.etag,
                    other.size_bytes,
                ):
                    return True
        except SupabaseError:
            return False
        return False


def _decode(body: bytes, kind: type[_Decoded], what: str) -> _Decoded:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise SupabaseError(
            ErrorCode.UNAVAILABLE, f"the response for the {what} is not valid: {error}"
        ) from None
