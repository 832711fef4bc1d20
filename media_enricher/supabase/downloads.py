"""Download objects from Supabase Storage: the first bytes of one, or all of it.

This uses aiohttp, because storage3 reads whole files into memory, does not support Range, and
changes paths. Every failure is a `SupabaseError`. The caller limits concurrent requests.
"""

from __future__ import annotations

import os
import random
import re
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import IO, Literal, Self, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
from yarl import URL

from media_enricher.models import ErrorCode, StorageObject
from media_enricher.supabase.errors import SupabaseError, error_from_response
from media_enricher.supabase.missing_bytes import (
    ReadableAgainError,
    explain,
    may_be_missing_bytes,
)
from media_enricher.supabase.trust import ObjectInfo, require_trusted
from media_enricher.supabase.urls import listing_url, object_url

_ERROR_BODY_BYTES = 64 * 1024
_REST_WORTH_READING_BYTES = 256 * 1024
"""Reading up to so many unneeded bytes is cheaper than opening a new connection."""
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_IDLE_SECONDS = 30.0
_DNS_SECONDS = 300
_PAST_CACHES = {"Cache-Control": "no-cache", "Pragma": "no-cache"}
_LISTED_OTHERS = 100
_TRIED_OTHERS = 3
"""So many other objects of a bucket are tried, to see whether any can be read."""


_Decoded = TypeVar("_Decoded")


Received = Callable[[int], Awaitable[None]]
"""Is told of the bytes of an object as they arrive, and waits for as long as reading should."""


async def _take_all(_count: int) -> None:
    """The bytes are not counted, and reading does not wait."""


class Download(msgspec.Struct, kw_only=True):
    """Bytes of an object, and what the response said about it. A context manager that frees them.

    An object that is too large for memory is in a file, and `data` is empty.
    """

    data: bytes
    file: int | None = None
    """The descriptor of a temporary file with the bytes."""
    length: int
    """The number of bytes."""
    size_bytes: int | None
    """The size of the whole object; None if the server does not say it."""
    etag: str | None
    """As it was served: without `W/`, with its double quotes."""
    listed_etag: str | None = None
    """That of the listing, where it names the same bytes by another etag."""
    content_type: str | None
    answer_seconds: float
    """The time from the request to the headers of the response."""

    @property
    def recorded_etag(self) -> str | None:
        """The etag by which planning will find that the object did not change."""
        return self.listed_etag or self.etag

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the bytes."""
        self.data = b""
        if self.file is not None:
            os.close(self.file)
            self.file = None


class ObjectChangedError(SupabaseError):
    """The object was overwritten between two requests for parts of it."""

    def __init__(self) -> None:
        super().__init__(
            ErrorCode.UNAVAILABLE, "the object was overwritten while it was being read"
        )


class _ListedMetadata(msgspec.Struct, rename="camel"):
    e_tag: str | None = None
    size: int | None = None


class _ListedObject(msgspec.Struct):
    name: str
    metadata: _ListedMetadata | None = None


class _ListedObjects(msgspec.Struct):
    objects: list[_ListedObject] = []


class LargerThanExpectedError(Exception):
    """The object is larger than what it was to take. What was read of it is gone."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the object has {size_bytes:,} bytes")
        self.size_bytes = size_bytes


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
        self._service_key = service_key
        self._silence_seconds = silence_seconds
        self._spool_bytes = spool_bytes
        self._read_last: StorageObject | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers={
                "apikey": self._service_key,
                "Authorization": f"Bearer {self._service_key}",
                # If a CDN compresses, the etag is weak, and a range counts compressed bytes.
                "Accept-Encoding": "identity",
                "User-Agent": "media-enricher",
            },
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=_IDLE_SECONDS, ttl_dns_cache=_DNS_SECONDS
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self._silence_seconds, sock_read=self._silence_seconds
            ),
            proxy=_proxy_for(self._base),
        )
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def part(
        self,
        wanted: StorageObject,
        start: int,
        stop: int,
        *,
        of_etag: str | None = None,
        received: Received = _take_all,
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
        self, wanted: StorageObject, *, room: int, most: int, received: Received = _take_all
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

    @asynccontextmanager
    async def _get(
        self,
        wanted: StorageObject,
        *,
        byte_range: str | None = None,
        route: Literal["authenticated", "info/authenticated"] = "authenticated",
        headers: Mapping[str, str] | None = None,
        received: Received = _take_all,
    ) -> AsyncIterator[_Answer]:
        """Request an object; turn all errors of the connection into SupabaseError."""
        url = URL(object_url(self._base, wanted.bucket, wanted.path, route=route), encoded=True)
        sent = {**(headers or {}), **({"Range": byte_range} if byte_range else {})}
        async with self._request("GET", url, sent, received=received) as answer:
            yield answer

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        *,
        json: object = None,
        received: Received = _take_all,
    ) -> AsyncIterator[_Answer]:
        asked_at = time.perf_counter()
        try:
            response = await self._session.request(
                method, url, headers=headers, json=json, allow_redirects=False
            )
            try:
                answer = _Answer(response, time.perf_counter() - asked_at, received)
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


class _Answer:
    """A response with status 200, 206 or 416 (impossible range), whose body is not read yet."""

    def __init__(
        self, response: aiohttp.ClientResponse, seconds: float, received: Received
    ) -> None:
        self._response = response
        self._seconds = seconds
        self._received = received
        self._counted = 0
        headers = response.headers
        self.status = response.status
        self.etag = bare_etag(headers.get("ETag"))
        self._is_encoded = headers.get("Content-Encoding", "identity") != "identity"
        is_part = self.status == 206 and not self._is_encoded
        self.part_range = content_range(headers.get("Content-Range")) if is_part else None

    @property
    def length(self) -> int | None:
        """The size of the body; None if the server does not say it."""
        return None if self._is_encoded else self._response.content_length

    def download(
        self, data: bytes, size_bytes: int | None, *, file: int | None = None, length: int = 0
    ) -> Download:
        return Download(
            data=data,
            file=file,
            length=length or len(data),
            size_bytes=size_bytes,
            etag=self.etag,
            content_type=self._response.headers.get("Content-Type"),
            answer_seconds=self._seconds,
        )

    async def refusal(self) -> SupabaseError:
        body = await self._response.content.read(_ERROR_BODY_BYTES)
        return error_from_response("download", self.status, self._response.headers, body)

    async def read_all(self) -> bytes:
        """The body. aiohttp raises if it is shorter than announced."""
        pieces = []
        while piece := await self._piece():
            pieces.append(piece)
        return b"".join(pieces)

    async def count_unread(self) -> None:
        """Count what arrived and was not read: the download broke off, or needed no more."""
        if unread := self._response.content.total_bytes - self._counted:
            self._counted += unread
            await self._received(unread)

    async def _piece(self) -> bytes:
        """The next bytes of the body, as they arrive; none at its end."""
        piece = await self._response.content.readany()
        if piece:
            self._counted += len(piece)
            await self._received(len(piece))
        return piece

    async def as_part(
        self, start: int, stop: int, part_range: tuple[int, int, int | None]
    ) -> Download:
        """The body of a 206, checked against the requested range and its headers."""
        first, end, size = part_range
        data = await self.read_all()
        stops_early = size is not None and end != min(stop, size)
        if first != start or end > stop or stops_early or len(data) != end - first:
            raise SupabaseError(
                ErrorCode.NETWORK,
                f"requested bytes {start}-{stop - 1}, got {len(data)} bytes of {first}-{end - 1}",
            )
        return self.download(data, size)

    async def cut(self, start: int, stop: int) -> Download:
        """The requested part of a body with the whole object; the rest is not read."""
        length = self.length
        if length is not None and length <= stop + _REST_WORTH_READING_BYTES:
            stop_reading = length
        else:
            stop_reading = stop
        data = bytearray()
        content = self._response.content
        while len(data) < stop_reading and (piece := await self._piece()):
            data += piece
        size = length if length is not None else (len(data) if content.at_eof() else None)
        if start and start >= len(data):
            raise ObjectChangedError
        return self.download(bytes(data[start:stop]), size)

    async def spooled(self, in_memory: int, most: int) -> Download:
        """The body, through a temporary file that is in memory while it is small.

        Raises:
            LargerThanExpectedError: more than `most` bytes came; they may have been not all.
        """
        with tempfile.SpooledTemporaryFile(max_size=max(1, in_memory)) as file:  # 0: no limit
            while piece := await self._piece():
                _write(file, piece)
                if file.tell() > most:
                    raise LargerThanExpectedError(file.tell())
            size = file.tell()
            file.seek(0)
            if size <= max(1, in_memory):
                return self.download(file.read(), size)
            file.flush()
            return self.download(b"", size, file=os.dup(file.fileno()), length=size)


def _write(file: IO[bytes], piece: bytes) -> None:
    try:
        file.write(piece)
    except OSError as error:
        raise SupabaseError(
            ErrorCode.UNAVAILABLE,
            f"cannot store the object in {tempfile.gettempdir()}: {error.strerror}. "
            "Free some disk space, or set TMPDIR to a folder with enough space.",
        ) from error


def _decode(body: bytes, kind: type[_Decoded], what: str) -> _Decoded:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise SupabaseError(
            ErrorCode.UNAVAILABLE, f"the response for the {what} is not valid: {error}"
        ) from None


def bare_etag(etag: str | None) -> str | None:
    """An etag as it is stored and compared: without `W/`, with its double quotes."""
    return etag.removeprefix("W/") if etag else None


def content_range(header: str | None) -> tuple[int, int, int | None] | None:
    """The start of a part, its end (exclusive), and the size of the object.

    The size is None if the server does not know it. The result is None if the header has no range.
    """
    match = _CONTENT_RANGE.fullmatch(header or "")
    if match is None:
        return None
    return int(match[1]), int(match[2]) + 1, None if match[3] == "*" else int(match[3])


def _proxy_for(url: str) -> str | None:
    """The proxy of the environment for a URL. Looked up once, which aiohttp does for each GET."""
    parts = urlsplit(url)
    if parts.hostname is None or proxy_bypass(parts.hostname):
        return None
    return getproxies().get(parts.scheme)
