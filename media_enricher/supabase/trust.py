"""Whether an answer of Storage holds the object that was listed, or another thing with status 200.

A proxy's error page, or half a body with a Content-Length that fits, must not become a verdict on
the object. What does not fit its listing is believed only with proof: the bytes have the MD5 that
their etag names, or Storage, asked once more, describes the object as the answer does (it was
overwritten since it was listed). All else is a transient failure.
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
"""Larger objects have etags of multipart uploads, which are no MD5 of the bytes."""


class Answer(Protocol):
    """What was read, as far as it is checked."""

    data: bytes
    size_bytes: int | None
    etag: str | None


class ObjectInfo(msgspec.Struct):
    """What Storage says of an object when asked for no bytes."""

    etag: str | None = None
    """`W/` stripped."""
    size: int | None = None


async def require_trusted(
    listed: StorageObject, answer: Answer, ask: Callable[[], Awaitable[ObjectInfo]]
) -> None:
    """See to it that an answer holds the object, or its newer version.

    A proxy that drops etags always must not make every object fail: without one, the size decides.
    Where the bytes are those of the listing under a wrong etag, the answer gets the right one.

    Args:
        listed: the object as planning found it.
        answer: what came.
        ask: for what Storage says of the object now.

    Raises:
        SupabaseError: transient; it is something else, or nobody can tell.
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
        f"the answer is not the object: expected {_described(listed.size_bytes, listed.etag)}, "
        f"got {_described(answer.size_bytes, answer.etag)}",
    )


def _fits(listed: StorageObject, answer: Answer) -> bool:
    """Whether size and etag are those of the listing, as far as either is known."""
    if listed.size_bytes is not None and answer.size_bytes is not None:
        is_size_right = answer.size_bytes == listed.size_bytes
    else:
        # Nothing but the etag can then show that it is the object.
        is_size_right = listed.etag is None or answer.etag is not None
    is_etag_right = None in (listed.etag, answer.etag) or answer.etag == listed.etag
    return is_size_right and is_etag_right


def _etag_of_bytes(answer: Answer) -> str | None:
    """The etag that the bytes would have; None where they are not the whole object, or too many."""
    if len(answer.data) != answer.size_bytes or answer.size_bytes > _HASHED_BYTES:
        return None
    if answer.etag is not None and not _MD5_ETAG.fullmatch(answer.etag):
        return None
    return f'"{hashlib.md5(answer.data, usedforsecurity=False).hexdigest()}"'


def _described(size_bytes: int | None, etag: str | None) -> str:
    size = "an unknown number of" if size_bytes is None else f"{size_bytes:,}"
    return f"{size} bytes with {f'etag {etag}' if etag else 'no etag'}"
