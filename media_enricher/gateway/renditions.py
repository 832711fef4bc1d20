"""Smaller pictures for lists of assets, where the project's Storage makes them.

Hosted projects have image transformation from the Pro plan on; other servers sign the whole object
or refuse. Which it is, is found out once for each gateway, with the first pictures that are shown.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from media_enricher.models import Kind
from media_enricher.orchestration.supabase_threads import SupabaseThreads
from media_enricher.supabase.bucket import Bucket
from media_enricher.supabase.errors import SupabaseError

SIDE_PIXELS = 480
"""Twice the width of a card, for dense screens."""
LARGEST_BYTES = 25_000_000
LARGEST_PIXELS = 50_000_000
"""Storage refuses larger originals:
https://supabase.com/docs/guides/storage/serving/image-transformations#limits."""
_REFUSALS = 3
"""So many pictures must be refused before the project counts as one without transformation: one
may be broken."""

_logger = logging.getLogger(__name__)


class Renditions:
    """Signs URLs of smaller pictures."""

    def __init__(
        self,
        bucket: Callable[[str], Bucket],
        in_thread: SupabaseThreads,
        *,
        seconds: int,
        is_wanted: bool,
    ) -> None:
        """Ask Storage nothing yet.

        Args:
            bucket: gives a bucket by its name.
            in_thread: makes the calls to Storage.
            seconds: how long the URLs are valid.
            is_wanted: false to make none.
        """
        self._bucket = bucket
        self._in_thread = in_thread
        self._seconds = seconds
        self._is_available: bool | None = None if is_wanted else False
        self._refusals = 0
        self._finding_out = asyncio.Lock()

    async def urls(self, bucket: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """The URL of a smaller picture of each asset that can have one, by path.

        Args:
            bucket: the name of the assets' bucket.
            rows: with the columns path, kind, width, height and size_bytes of `media_assets`.

        Raises:
            SupabaseError: Storage is away.
        """
        paths = [row["path"] for row in rows if _can_be_rendered(row)]
        if not paths or not await self._find_out(bucket, paths):
            return {}
        urls = await asyncio.gather(*(self._sign(bucket, path) for path in paths))
        return {path: url for path, url in zip(paths, urls, strict=True) if url}

    async def _find_out(self, bucket: str, paths: Sequence[str]) -> bool:
        """Whether Storage makes smaller pictures, tried with these unless it is known."""
        async with self._finding_out:
            for path in paths[:_REFUSALS]:
                if self._is_available is not None:
                    break
                await self._try(bucket, path)
            return self._is_available is True

    async def _try(self, bucket: str, path: str) -> None:
        try:
            url = await self._in_thread(lambda: self._sign_now(bucket, path))
            if url is None:
                self._is_available = False
                return
            found = await self._in_thread(lambda: self._bucket(bucket).fetch_signed(url))
        except SupabaseError as error:
            if error.is_transient:
                raise
            self._refuse(f"{path!r} in bucket {bucket!r}: {error}")
            return
        if found.startswith("image/"):
            self._is_available = True
        else:
            self._refuse(f"{path!r} in bucket {bucket!r} came as {found!r}")

    def _refuse(self, reason: str) -> None:
        self._refusals += 1
        if self._refusals >= _REFUSALS:
            self._is_available = False
            _logger.info("Storage makes no smaller pictures; the last refusal: %s", reason)

    async def _sign(self, bucket: str, path: str) -> str | None:
        try:
            return await self._in_thread(lambda: self._sign_now(bucket, path))
        except SupabaseError as error:
            if error.is_transient:
                raise
            return None  # its object is gone

    def _sign_now(self, bucket: str, path: str) -> str | None:
        return self._bucket(bucket).sign_rendition(path, self._seconds, side=SIDE_PIXELS)


def _can_be_rendered(row: Mapping[str, Any]) -> bool:
    width, height, size_bytes = row["width"], row["height"], row["size_bytes"]
    return (
        row["kind"] == Kind.IMAGE
        and bool(width and height and size_bytes)
        and size_bytes <= LARGEST_BYTES
        and width * height <= LARGEST_PIXELS
    )
