"""Requests without valid credentials: limited by address, and counted instead of recorded.

Callers with valid credentials are never held up by others behind the same address: only refused
requests are counted, and only those are answered 429 once there are too many.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from media_enricher.gateway.errors import ApiError, retry_later
from media_enricher.supabase.errors import SupabaseError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

REMEMBERED_ADDRESSES = 10_000
"""So many addresses are remembered; of more, those that were quiet longest start afresh."""
COUNTED_ADDRESSES = 100
"""So many addresses get a count of their own; further ones share one without an address."""
COUNT_SECONDS = 5.0
"""How often the counts are written to the audit."""
_IPV6_NETWORK = 64
"""Bits. Whoever has an IPv6 address has all of such a network."""

_logger = logging.getLogger(__name__)


def origin_of(host: str | None) -> str:
    """What a caller's address counts as: itself; of IPv6, its network; '' if it is none."""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), _IPV6_NETWORK), strict=False))
    return str(address)


class AddressLimit:
    """A token bucket for each address: so many at once, which refill within a minute."""

    def __init__(self, per_minute: int, now: Callable[[], float] = monotonic) -> None:
        self._most = float(per_minute)
        self._per_second = per_minute / 60
        self._now = now
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, origin: str) -> float:
        """Take one.

        Returns:
            0, or in how many seconds there is one again.
        """
        now = self._now()
        left, since = self._left.pop(origin, (self._most, now))
        left = min(self._most, left + (now - since) * self._per_second)
        is_left = left >= 1
        self._left[origin] = (left - 1 if is_left else left, now)
        if len(self._left) > REMEMBERED_ADDRESSES:
            self._left.popitem(last=False)
        return 0.0 if is_left else (1 - left) / self._per_second


class UnauthenticatedLimiter:
    """Limits and counts requests without valid credentials. Use it within `recording`."""

    def __init__(
        self, per_minute: int, record: Callable[[Mapping[str, int]], Awaitable[None]]
    ) -> None:
        """Limit each address.

        Args:
            per_minute: the most of an address.
            record: writes counts by address to the audit.
        """
        self._limit = AddressLimit(per_minute)
        self._record = record
        self._counted: Counter[str] = Counter()

    def count(self, host: str | None, error: ApiError) -> ApiError:
        """Count a request that is refused, and return its answer: the given error, or a 429."""
        origin = origin_of(host)
        self._add(origin, 1)
        seconds = self._limit.take(origin)
        if not seconds:
            return error
        return retry_later(
            429,
            "rate_limited",
            "Your address sent too many requests without valid credentials. Sign in, or send a "
            "valid key.",
            seconds,
        )

    @contextmanager
    def _counts(self) -> Iterator[Counter[str]]:
        """What was counted so far; it is kept for the next time if it can't be recorded."""
        counts, self._counted = self._counted, Counter()
        try:
            yield counts
        except SupabaseError as error:
            _logger.warning("Could not record refused requests in the audit yet: %s", error)
            for origin, requests in counts.items():
                self._add(origin, requests)

    def _add(self, origin: str, requests: int) -> None:
        has_row = origin in self._counted or len(self._counted) < COUNTED_ADDRESSES
        self._counted[origin if has_row else ""] += requests

    async def flush(self) -> None:
        """Write what was counted to the audit."""
        if self._counted:
            with self._counts() as counts:
                await self._record(counts)

    @asynccontextmanager
    async def recording(self) -> AsyncIterator[UnauthenticatedLimiter]:
        """Write what is counted to the audit, every few seconds and when the block is left."""

        async def flush_regularly() -> None:
            while True:
                await asyncio.sleep(COUNT_SECONDS)
                await self.flush()

        flushing = asyncio.create_task(flush_regularly())
        try:
            yield self
        finally:
            flushing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await flushing
            await self.flush()
