"""Check that a response of Storage with status 200 contains the object that was listed.

A proxy's error page, or half a body with a matching Content-Length, must not be taken for the
object. A response that does not match the listing is accepted only with proof: the bytes have the
MD5 of their etag, or a second request to Storage describes the object as the response does (it was
overwritten since it was listed). Everything else is a temporary failure.

S3 has etags of two kinds: the MD5 of the bytes, and that of a multipart upload (`"…-2"`), which
depends on how the upload was cut. Copying an object makes one of the other kind for the same bytes,
and Storage's table may keep the old one. Etags of different kinds contradict nothing, so the size
decides then, and what Storage says now; the etag of the listing is recorded, or planning would find
the object changed in each run.
"""

from __future__ import annotations

import hashlib
import re
from typing import Protocol

import msgspec

from media_enricher.models import ErrorCode, StorageObject
from media_enricher.supabase.errors import SupabaseError

_MD5_ETAG = re.compile(r'"?[0-9a-f]{32}"?')
_MULTIPART_ETAG = re.compile(r'"?[0-9a-f]{32}-[1-9][0-9]{0,4}"?')
_HASHED_BYTES = 16 * 1024 * 1024
"""The MD5 of larger objects is not looked at: most of them have etags of multipart uploads."""


class Answer(Protocol):
    """The parts of a response that are checked."""

    data: bytes
    size_bytes: int | None
    etag: str | None
    listed_etag: str | None
    """Set if the listing names the same bytes by another etag: that etag."""


class ObjectInfo(msgspec.Struct):
    """What Storage says about an object without its bytes."""

    etag: str | None = None
    """Without `W/`."""
    size: int | None = None


class Questions(Protocol):
    """What can be asked about an object whose response does not match its listing."""

    async def info(self) -> ObjectInfo:
        """Ask what Storage says about the object now, from its database.

        Raises:
            SupabaseError: there is no such object, or no valid response.
        """

    async def served(self) -> ObjectInfo:
        """Ask under which etag and size the object is downloaded now, past all caches.

        Raises:
            SupabaseError: there is no such object, or no response.
        """


async def require_trusted(listed: StorageObject, answer: Answer, ask: Questions) -> None:
    """Require that a response contains the object, or a newer version of it.

    A proxy that always drops etags must not make every object fail: without one, the size decides.
    If the listing has another etag for the same bytes, the response gets it as `listed_etag`.

    Args:
        listed: the object as planning found it.
        answer: the response.
        ask: asks Storage about the object now.

    Raises:
        SupabaseError: transient; the response is something else, or this cannot be determined.
    """
    if _fits(listed, answer):
        if answer.etag is not None and answer.etag != listed.etag:
            answer.listed_etag = listed.etag
        return
    md5 = _md5_of(answer)
    if md5 is not None and _is_same(md5, listed.etag):
        answer.listed_etag = listed.etag
        return
    is_complete = md5 is not None and _is_same(md5, answer.etag)
    if is_complete and not _are_of_two_kinds(listed.etag, answer.etag):
        return
    now = await ask.info()
    served = ObjectInfo(answer.etag, answer.size_bytes)
    if answer.etag is not None and _is_alike(now, served):
        return
    is_listing_current = _is_same(now.etag, listed.etag) and now.size == answer.size_bytes
    if (
        is_listing_current
        and _are_of_two_kinds(listed.etag, answer.etag)
        and _is_alike(await ask.served(), served)
    ):
        answer.listed_etag = listed.etag
        return
    if is_complete:  # an older version, from a cache: the next run looks again
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
    is_etag_right = None in (listed.etag, answer.etag) or _is_same(answer.etag, listed.etag)
    return is_size_right and is_etag_right


def _is_same(one: str | None, other: str | None) -> bool:
    """Whether two etags are the same. Some S3 servers leave out the double quotes."""
    return one is not None and other is not None and one.strip('"') == other.strip('"')


def _is_alike(one: ObjectInfo, other: ObjectInfo) -> bool:
    return _is_same(one.etag, other.etag) and one.size == other.size


def _are_of_two_kinds(one: str | None, other: str | None) -> bool:
    """Whether two different etags can be of the same bytes: one at least is of several parts."""
    if one is None or other is None:
        return False
    are_multipart = [_MULTIPART_ETAG.fullmatch(etag) is not None for etag in (one, other)]
    are_known = [
        is_multipart or _MD5_ETAG.fullmatch(etag) is not None
        for is_multipart, etag in zip(are_multipart, (one, other), strict=True)
    ]
    return any(are_multipart) and all(are_known)


def _md5_of(answer: Answer) -> str | None:
    """The MD5 of the bytes as an etag; None if they are not the whole object, or too many."""
    if len(answer.data) != answer.size_bytes or answer.size_bytes > _HASHED_BYTES:
        return None
    return f'"{hashlib.md5(answer.data, usedforsecurity=False).hexdigest()}"'


def _described(size_bytes: int | None, etag: str | None) -> str:
    size = "an unknown number of" if size_bytes is None else f"{size_bytes:,}"
    return f"{size} bytes with {f'etag {etag}' if etag else 'no etag'}"
