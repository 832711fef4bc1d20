"""One response of Storage to a download: its headers, and its body in the form that is wanted."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import IO, Self

import aiohttp
import msgspec

from media_enricher.models import ErrorCode
from media_enricher.supabase.errors import SupabaseError, error_from_response

_ERROR_BODY_BYTES = 64 * 1024
_REST_WORTH_READING_BYTES = 256 * 1024
"""Reading up to so many unneeded bytes is cheaper than opening a new connection."""
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")

Received = Callable[[int], Awaitable[None]]
"""Is told of the bytes of an object as they arrive, and waits for as long as reading should."""


async def take_all(_count: int) -> None:
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


class LargerThanExpectedError(Exception):
    """The object is larger than what it was to take. What was read of it is gone."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the object has {size_bytes:,} bytes")
        self.size_bytes = size_bytes


class Answer:
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
        content = self._response.content
        pieces = []
        while not content.at_eof():
            pieces.append(await self._piece())
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
