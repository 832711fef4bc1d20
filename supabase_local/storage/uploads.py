"""Receiving the bytes of an object, raw or as the one file of a multipart form."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import msgspec
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from supabase_local.storage import errors
from supabase_local.storage.blobs import BlobStore, BlobWriter

MAX_OBJECT_BYTES = 5 * 1024**3
_MAX_FIELD_BYTES = 1024 * 1024


class Received(msgspec.Struct):
    """A blob that was written, and what the request said of it."""

    version: str
    etag: str
    size: int
    mimetype: str
    cache_control: str
    user_metadata: dict[str, Any] | None


class Limits(msgspec.Struct):
    """What a bucket accepts."""

    max_bytes: int = MAX_OBJECT_BYTES
    mime_types: Sequence[str] = ()
    """Exact types and `image/*`; none stands for all."""

    def require_type(self, mimetype: str) -> None:
        """Raise InvalidMimeType unless the bucket takes the type."""
        if not self.mime_types:
            return
        bare = mimetype.split(";", 1)[0].strip().lower()
        family = f"{bare.split('/', 1)[0]}/*"
        if bare not in self.mime_types and not {family, "*/*", "*"} & set(self.mime_types):
            raise errors.invalid_mime_type(bare)


async def receive(
    headers: Mapping[str, str], body: AsyncIterator[bytes], blobs: BlobStore, limits: Limits
) -> Received:
    """Write a request's object into a new blob.

    Raises:
        StorageError: too large, of a type that the bucket refuses, or no object at all. Nothing
            of it is kept then.
    """
    content_type = headers.get("content-type", "application/octet-stream")
    kind, options = parse_options_header(content_type)
    form = _Form(blobs, limits)
    try:
        if kind == b"multipart/form-data":
            await form.read_multipart(options.get(b"boundary", b""), body)
        else:
            form.begin_raw(content_type, headers)
            async for chunk in body:
                form.write(chunk)
        return form.received()
    except BaseException:
        form.abandon()
        async for _ in body:  # a client that is still sending does not read the answer
            pass
        raise


def decode_user_metadata(header: str) -> dict[str, Any] | None:
    """What the header `x-metadata` says: Base64 of JSON.

    Raises:
        StorageError: InvalidRequest; it is neither.
    """
    try:
        decoded: dict[str, Any] | None = json.loads(base64.b64decode(header))
    except (binascii.Error, ValueError):
        raise errors.invalid_request("x-metadata is not base64 of JSON") from None
    return decoded


class _Form:
    """The object as it comes in, with the fields around it."""

    def __init__(self, blobs: BlobStore, limits: Limits) -> None:
        self._blobs = blobs
        self._limits = limits
        self._writer: BlobWriter | None = None
        self._mimetype = ""
        self._cache_control = "no-cache"
        self._user_metadata: dict[str, Any] | None = None
        self._part_headers: dict[str, str] = {}
        self._header_name = b""
        self._header_value = b""
        self._field = bytearray()

    def begin_raw(self, content_type: str, headers: Mapping[str, str]) -> None:
        self._cache_control = headers.get("cache-control", "no-cache")
        encoded = headers.get("x-metadata")
        if encoded:
            self._user_metadata = decode_user_metadata(encoded)
        self._begin(content_type)

    async def read_multipart(self, boundary: bytes, body: AsyncIterator[bytes]) -> None:
        callbacks: dict[str, Callable[..., None]] = {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
        }
        try:
            parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]
            async for chunk in body:
                parser.write(chunk)
            parser.finalize()
        except MultipartParseError as malformed:
            raise errors.invalid_request(f"malformed multipart form: {malformed}") from None

    def write(self, data: bytes) -> None:
        if self._writer is None:
            raise errors.invalid_request("No content provided")
        if self._writer.size + len(data) > self._limits.max_bytes:
            raise errors.entity_too_large()
        self._writer.write(data)

    def received(self) -> Received:
        if self._writer is None:
            raise errors.invalid_request("No content provided")
        return Received(
            version=self._writer.version,
            etag=self._writer.finish(),
            size=self._writer.size,
            mimetype=self._mimetype,
            cache_control=self._cache_control,
            user_metadata=self._user_metadata,
        )

    def abandon(self) -> None:
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None

    def _begin(self, mimetype: str) -> None:
        self._limits.require_type(mimetype)
        self._mimetype = mimetype
        self._writer = BlobWriter(self._blobs)

    def _on_part_begin(self) -> None:
        self._part_headers = {}
        self._field = bytearray()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        name = self._header_name.decode("latin-1").lower()
        self._part_headers[name] = self._header_value.decode("utf-8", "replace")
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        if self._is_file:
            if self._writer is not None:
                raise errors.invalid_request("one file a form")
            self._begin(self._part_headers.get("content-type", "application/octet-stream"))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self.write(data[start:end])
        elif len(self._field) + end - start > _MAX_FIELD_BYTES:
            raise errors.entity_too_large()
        else:
            self._field += data[start:end]

    def _on_part_end(self) -> None:
        if self._is_file:
            return
        _, options = parse_options_header(self._part_headers.get("content-disposition", ""))
        name, value = options.get(b"name", b""), self._field.decode("utf-8", "replace")
        if name == b"cacheControl" and value:
            self._cache_control = f"max-age={value}"
        elif name == b"metadata" and value:
            try:
                self._user_metadata = json.loads(value)
            except ValueError:
                raise errors.invalid_request("the form's metadata is not JSON") from None

    @property
    def _is_file(self) -> bool:
        _, options = parse_options_header(self._part_headers.get("content-disposition", ""))
        return b"filename" in options
