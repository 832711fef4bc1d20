"""Requests without valid credentials: limited by address, and counted instead of recorded.

Whoever has valid credentials is never held up by others behind the same address: only what is
refused is counted, and only that is answered 429 when there is too much of it.
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

from media_enricher.gateway.errors import ApiError, try_later

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

REMEMBERED_ADDRESSES = 10_000
"""So many addresses are told apart; of more, those that were quiet longest start afresh."""
COUNTED_ADDRESSES = 100
"""So many addresses get a row of a count; further ones share one without an address."""
COUNT_SECONDS = 5.0
"""How often the audit is told."""
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
    """Limits and counts requests without valid credentials. Make it with `watching`."""

    def __init__(
        self, per_minute: int, tell: Callable[[Mapping[str, int]], Awaitable[None]]
    ) -> None:
        """Limit each address.

        Args:
            per_minute: the most of an address.
            tell: puts counts by address on record.
        """
        self._limit = AddressLimit(per_minute)
        self._tell = tell
        self._counted: Counter[str] = Counter()

    def refuse(self, host: str | None, refusal: ApiError) -> ApiError:
        """Count a request that is refused, and return its answer: the refusal, or a 429."""
        origin = origin_of(host)
        is_counted = origin in self._counted or len(self._counted) < COUNTED_ADDRESSES
        self._counted[origin if is_counted else ""] += 1
        seconds = self._limit.take(origin)
        if not seconds:
            return refusal
        return try_later(
            429,
            "rate_limited",
            "Too many requests without valid credentials came from your address. Sign in, or "
            "send a valid key.",
            seconds,
        )

    @contextmanager
    def _counts(self) -> Iterator[Counter[str]]:
        """What was counted so far, which is counted anew if it can't be told."""
        counts, self._counted = self._counted, Counter()
        try:
            yield counts
        except ApiError as refusal:
            _logger.warning("the audit misses refused requests for now: %s", refusal)
            for origin, requests in counts.items():
                known = origin in self._counted or len(self._counted) < COUNTED_ADDRESSES
                self._counted[origin if known else ""] += requests

    async def tell(self) -> None:
        """Put what was counted on record."""
        if self._counted:
            with self._counts() as counts:
                await self._tell(counts)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[UnauthenticatedLimiter]:
        """Put on record what is counted, every few seconds and when the block is left."""

        async def tell_again_and_again() -> None:
            while True:
                await asyncio.sleep(COUNT_SECONDS)
                await self.tell()

        telling = asyncio.create_task(tell_again_and_again())
        try:
            yield self
        finally:
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await telling
            await self.tell()
