"""What users who are no admins may have enriched, and which buckets they know of.

A tenant's members work in the tenant's folder. Everybody else works where Storage's own policies
let them read whatever there is. That is asked of the policies, as that user, and never of the
objects: an answer that depended on objects the user can't see would let them search for names. For
the same reason, what may not be read and what is not there are answered alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fastapi import Request
from pydantic import SecretStr

from media_enricher.gateway.auth import Caller, bearer_token
from media_enricher.gateway.errors import ApiError
from media_enricher.gateway.permissions import is_confined
from media_enricher.orchestration.supabase_threads import SupabaseThreads
from media_enricher.supabase.errors import SupabaseError
from media_enricher.supabase.reading import UserReading

_Answer = TypeVar("_Answer")


class StorageAccess:
    """Checks where a caller may work. The service key, webhooks and admins pass unchecked."""

    def __init__(
        self, reading: UserReading, in_thread: SupabaseThreads, buckets: Callable[[], list[str]]
    ) -> None:
        """Ask through these.

        Args:
            reading: what a user may read.
            in_thread: makes the calls to Supabase.
            buckets: all that can be worked on.
        """
        self._reading = reading
        self._in_thread = in_thread
        self._buckets = buckets

    async def require_prefix(
        self, request: Request, caller: Caller, bucket: str, prefix: str
    ) -> None:
        """Let a caller work on a prefix, or count what is to do there.

        Raises:
            ApiError: 403 `not_readable`.
            SupabaseError: the database is away.
        """
        if not is_confined(caller):
            return
        if caller.tenant_id is not None:
            await self._require_tenant_bucket(caller.tenant_id, bucket)
            return
        token = _token_of(request)
        if not await self._ask(lambda: self._reading.reads_prefix(token, bucket, prefix), False):
            raise _not_readable(
                f"Storage's policies do not let you read everything under {prefix!r} in bucket "
                f"{bucket!r}, or there is no such bucket. Choose a prefix that you may read, or "
                "enrich single objects with POST /enrich.",
                "prefix",
                prefix,
            )

    async def require_object(
        self, request: Request, caller: Caller, bucket: str, path: str
    ) -> None:
        """Let a caller have one object enriched.

        Raises:
            ApiError: 403 `not_readable`.
            SupabaseError: the database is away.
        """
        if not is_confined(caller):
            return
        if caller.tenant_id is not None:
            await self._require_tenant_bucket(caller.tenant_id, bucket)
            return
        token = _token_of(request)
        if not await self._ask(lambda: self._reading.reads_object(token, bucket, path), False):
            raise _not_readable(
                f"Storage's policies do not let you read {path!r} in bucket {bucket!r}, or there "
                "is no such object. Check the path.",
                "path",
                path,
            )

    async def buckets(self, request: Request, caller: Caller) -> list[str]:
        """The buckets that can be worked on, as far as the caller knows of them.

        Raises:
            SupabaseError: the database is away.
        """
        every = await self._in_thread(self._buckets)
        if not is_confined(caller):
            return every
        token = _token_of(request)
        nothing: list[str] = []
        known = set(await self._ask(lambda: self._reading.buckets(token, every), nothing))
        if caller.tenant_id is not None:
            known |= await self._tenant_buckets(caller.tenant_id)
        return [name for name in every if name in known]

    async def _require_tenant_bucket(self, tenant_id: str, bucket: str) -> None:
        if bucket not in await self._tenant_buckets(tenant_id):
            raise _not_readable(
                f"Your tenant has no objects in bucket {bucket!r}. Choose one of GET /buckets.",
                "bucket",
                bucket,
            )

    async def _tenant_buckets(self, tenant_id: str) -> set[str]:
        return set(await self._in_thread(lambda: self._reading.tenant_buckets(tenant_id)))

    async def _ask(self, call: Callable[[], _Answer], otherwise: _Answer) -> _Answer:
        """What the database answers the user; `otherwise` if it refuses to answer them."""

        def answer() -> _Answer:
            try:
                return call()
            except SupabaseError as error:
                if error.is_transient:
                    raise
                return otherwise

        return await self._in_thread(answer)


def _token_of(request: Request) -> SecretStr:
    return SecretStr(bearer_token(request.headers.get("authorization")))


def _not_readable(error: str, field: str, value: str) -> ApiError:
    return ApiError(403, "not_readable", error, field=field, value=value)
