"""Supabase from asyncio: its one client is a blocking one, so each call has a thread for itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

from media_enricher.gateway.errors import unavailable
from media_enricher.supabase.errors import SupabaseError
from media_enricher.supabase.retrying import patience

ANSWER_SECONDS = 2.0
"""How long a caller waits for the database, retries included."""
CALLS_AT_ONCE = 16
"""As many as the client has connections."""

_logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")


class Blocking:
    """Makes blocking calls to Supabase, so many at once."""

    def __init__(self, calls_at_once: int = CALLS_AT_ONCE) -> None:
        self._limiter = anyio.CapacityLimiter(calls_at_once)

    async def __call__(
        self, call: Callable[[], _Result], *, seconds: float = ANSWER_SECONDS
    ) -> _Result:
        """Make a call in a thread, and return what it returns.

        Args:
            call: to a method of `media_enricher.supabase`.
            seconds: after which it is not retried any more.

        Raises:
            ApiError: 503; Supabase did not do what was asked. The log says why.
        """

        def patiently() -> _Result:
            with patience(seconds):
                return call()

        try:
            return await anyio.to_thread.run_sync(patiently, limiter=self._limiter)
        except SupabaseError as error:
            _logger.warning("Supabase did not do what was asked: %s", error)
            if error.is_transient:
                raise unavailable("The database does not answer.", error.retry_after or 2) from None
            raise unavailable(
                "The database refuses the gateway; its operator finds the reason in the log.", 30
            ) from None
