"""Tell an object whose bytes are gone from a Storage that is away for a while.

A row of `storage.objects` can outlive its bytes: a backup of the database was restored without
Storage's, or somebody deleted the bytes and not the row. With files, Storage answers such a
download with 500 InternalError, as it does for a disk that is away; with S3, it says NoSuchKey, as
it does for an object that was deleted. So one answer tells nothing, and Storage is asked again:

* its info about the object comes from the row, and says whether the object was deleted;
* another object of the bucket, read before and after each further look at this one, shows that
  bytes are served. An outage that begins or ends in between is seen by one of them.

The verdict needs all of these looks to agree. Whatever else they show leaves the error as it was:
an object that is read later costs little, and one that is given up wrongly stays unread.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from media_enricher.models import ErrorCode
from media_enricher.supabase.errors import SupabaseError

_PAUSES_SECONDS = (0.0, 0.2, 0.5)
"""Before each further look: several, for a server that fails now and then fails twice in a row."""
_ADVICE = (
    "Storage lists this object and has lost its bytes, while others of its bucket can be read. "
    "Upload it again, or delete it. It is not tried again until then; mode `failed` does so anyway."
)


class Looks(Protocol):
    """What can be asked about an object that could not be downloaded."""

    async def info(self) -> object:
        """Ask what Storage knows of the object without its bytes.

        Raises:
            SupabaseError: it knows of none, or does not answer.
        """

    async def served(self) -> object:
        """Ask for the object's first byte, past all caches.

        Raises:
            SupabaseError: as the first time, or otherwise.
        """

    async def is_another_served(self) -> bool:
        """Whether another object of the bucket can be downloaded, past all caches."""


class ReadableAgainError(SupabaseError):
    """The object could be read at the second look: it was overwritten, or the fault has passed."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.UNAVAILABLE, "the object could not be read for a moment")


def may_be_missing_bytes(failure: SupabaseError) -> bool:
    """Whether an object without bytes is answered like this."""
    is_unexpected = failure.status == 500 and failure.service_code == "InternalError"
    return is_unexpected or _is_no_such_key(failure)


async def explain(failure: SupabaseError, looks: Looks) -> SupabaseError:
    """The error to report for a failed download: `bytes_missing` if that is certain.

    Args:
        failure: an error for which `may_be_missing_bytes` holds.
        looks: how to ask again.

    Returns:
        The same error; one that says that the object or its bytes are gone; `ReadableAgainError`.
    """
    try:
        await looks.info()
    except SupabaseError as unknown:
        # Older servers read the info from the bytes. Then it fails as the download did.
        if not _is_alike(unknown, failure) or _is_no_such_key(unknown):
            return unknown if unknown.code is ErrorCode.NOT_FOUND else failure
    # NoSuchKey is an answer of S3 itself. A server error may be anything.
    pauses = _PAUSES_SECONDS[:1] if _is_no_such_key(failure) else _PAUSES_SECONDS
    for pause in pauses:
        await asyncio.sleep(pause)
        if not await looks.is_another_served():
            return failure
        try:
            await looks.served()
        except SupabaseError as again:
            if not _is_alike(again, failure):
                return failure
        else:
            return ReadableAgainError()
    if not await looks.is_another_served():
        return failure
    return SupabaseError(ErrorCode.BYTES_MISSING, f"{failure}. {_ADVICE}")


def _is_no_such_key(failure: SupabaseError) -> bool:
    return failure.service_code == "NoSuchKey"


def _is_alike(one: SupabaseError, other: SupabaseError) -> bool:
    return (one.status, one.service_code) == (other.status, other.service_code)
