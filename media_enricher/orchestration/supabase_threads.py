"""Supabase from asyncio: its one client is a blocking one, so each call has a thread for itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

import anyio
import anyio.to_thread

from media_enricher.supabase.retrying import patience

CALLS_AT_ONCE = 16
"""As many as the client has connections."""

_Result = TypeVar("_Result")


class SupabaseThreads:
    """Makes blocking calls to Supabase in threads, so many at once."""

    def __init__(
        self, calls_at_once: int = CALLS_AT_ONCE, *, patience_seconds: float | None = None
    ) -> None:
        """Start nothing yet.

        Args:
            calls_at_once: further calls wait.
            patience_seconds: after which a call is not retried any more; None for the settings'
                number of retries, however long they take.
        """
        self._limiter = anyio.CapacityLimiter(calls_at_once)
        self._patience_seconds = patience_seconds

    async def __call__(
        self, call: Callable[[], _Result], *, patience_seconds: float | None = None
    ) -> _Result:
        """Make a call in a thread, and return what it returns.

        Args:
            call: to a method of `media_enricher.supabase`.
            patience_seconds: for this call; None for that of all.

        Raises:
            SupabaseError: Supabase did not do what was asked.
        """
        seconds = self._patience_seconds if patience_seconds is None else patience_seconds

        def patient_call() -> _Result:
            with nullcontext() if seconds is None else patience(seconds):
                return call()

        return await anyio.to_thread.run_sync(patient_call, limiter=self._limiter)
