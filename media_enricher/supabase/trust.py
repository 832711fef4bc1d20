"""Check that a response of Storage with status 200 contains the object that was listed.

A proxy's error page, or half a body with a matching Content-Length, must not be taken for the
object. A response that does not match the listing is accepted only with proof: the bytes have the
MD5 of their etag, or a second request to Storage describes the object as the response does (it was
overwritten since it was listed). Everything else is a temporary failure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from media_enricher.models import ErrorCode, StorageObject
from media_enricher.supabase.errors import SupabaseError

_MD5_ETAG = re.compile(r'"([0-9a-f]{32})"')
_HASHED_BYTES = 16 * 1024 * 1024
"""Larger objects have etags of multipart uploads, which are not an MD5 of the bytes."""


class Answer(Protocol):
    """The parts of a response that are checked."""

    data: bytes
    size_bytes: int | None
    etag: str | None


class ObjectInfo(msgspec.Struct):
    """What Storage says about an object without its bytes."""

    etag: str | None = None
    """Without `W/`."""
    size: int | None = None


async def require_trusted(
    listed: StorageObject, answer: Answer, ask: Callable[[], Awaitable[ObjectInfo]]
) -> None:
    """Require that a response contains the object, or a newer version of it.

    A proxy that always drops etags must not make every object fail: without one, the size decides.
    If the bytes are those of the listing under a wrong etag, the response gets the right etag.

    Args:
        listed: the object as planning found it.
        answer: the response.
        ask: requests what Storage says about the object now.

    Raises:
        SupabaseError: transient; the response is something else, or this cannot be determined.
    """
    if _fits(listed, answer):
        return
    named = _etag_of_bytes(answer)
    if named is not None and named in (answer.etag, listed.etag):
        answer.etag = named
        return
    now = await ask()
    if answer.etag is not None and (now.etag, now.size) == (answer.etag, answer.size_bytes):
        return
    raise SupabaseError(
        ErrorCode.UNAVAILABLE,
        f"the response is not the object: expected {_described(listed.size_bytes, listed.etag)}, "
        f"got {_described(answer.size_bytes, answer.etag)}",
    )


def _fits(listed: StorageObject, answer: Answer) -> bool:
    """Whether size and etag match the listing, as far as they are known."""
    if listed.size_bytes is not None and answer.size_bytes is not None:
        is_size_right = answer.size_bytes == listed.size_bytes
    else:
        # Then only the etag can show that it is the object.
        is_size_right = listed.etag is None or answer.etag is not None
    is_etag_right = None in (listed.etag, answer.etag) or answer.etag == listed.etag
    return is_size_right and is_etag_right


def _etag_of_bytes(answer: Answer) -> str | None:
    """The etag of the bytes; None if they are not the whole object, or too many."""
    if len(answer.data) != answer.size_bytes or answer.size_bytes > _HASHED_BYTES:
        return None
    if answer.etag is not None and not _MD5_ETAG.fullmatch(answer.etag):
        return None
    return f'"{hashlib.md5(answer.data, usedforsecurity=False).hexdigest()}"'


def _described(size_bytes: int | None, etag: str | None) -> str:
    size = "an unknown number of" if size_bytes is None else f"{size_bytes:,}"
    return f"{size} bytes with {f'etag {etag}' if etag else 'no etag'}"
