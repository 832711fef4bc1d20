"""A folder of a Storage bucket where Prefect keeps the results of tasks."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from prefect._internal.compatibility.async_dispatch import async_dispatch
from prefect.exceptions import MissingContextError
from prefect.filesystems import WritableFileSystem
from prefect.logging import get_logger, get_run_logger
from pydantic import AfterValidator, Field

from media_enricher.blocks.credentials import SupabaseCredentials
from media_enricher.blocks.records import RefusedRecordError, seal, signing_key, unseal

if TYPE_CHECKING:
    from media_enricher.supabase.bucket import Bucket

_CONTENT_TYPE = "application/octet-stream"  # the signature goes before the JSON
_SWEEP_PAGE = 100
_SWEEP_PAGES = 50


class ResultBucketError(Exception):
    """The bucket may not keep results. The message says why, and what to do."""


def _bare_folder(folder: str) -> str:
    return folder.strip("/")


class SupabaseBucket(WritableFileSystem):
    """A folder of a Supabase Storage bucket that keeps the results of tasks.

    As `result_storage`, for tasks and flows with `result_serializer="json"`, it makes a task cache
    that outlives machines and containers. Each result is signed with a key derived from the service
    key; one that is not, was altered or moved, or is no JSON, is refused: the task runs again as if
    there were none, and the log says why.

    For files of any other kind, `get_bucket()` gives the bucket itself.

    Example:
        ```python
        from media_enricher.blocks import SupabaseBucket
        from prefect import task

        @task(
            persist_result=True,
            result_serializer="json",
            result_storage=SupabaseBucket.load("media-enricher-results"),
        )
        def count(bucket: str) -> int: ...
        ```
    """

    _block_type_name = "Supabase Bucket"
    _block_type_slug = "supabase-bucket"

    credentials: SupabaseCredentials
    bucket: str = Field(
        min_length=1, pattern="^[^/]+$", description="A private bucket; `create()` makes it."
    )
    folder: Annotated[str, AfterValidator(_bare_folder)] = Field(
        default="", description="Where in the bucket; empty for its top."
    )

    def get_bucket(self) -> Bucket:
        """The bucket itself, for files that are no results: nothing is signed or checked."""
        from media_enricher.supabase.bucket import Bucket  # noqa: PLC0415

        return Bucket(self.credentials.get_client(), self.bucket)

    def create(self) -> bool:
        """Make the bucket, private, unless it is there.

        Returns:
            Whether it was made.

        Raises:
            ResultBucketError: it is there, and public.
            SupabaseError: Storage does not do what was asked, after retries.
        """
        bucket = self.get_bucket()
        is_new = not bucket.exists()
        if is_new:
            bucket.create_private()
        self.require_private()
        return is_new

    def require_private(self) -> None:
        """See to it that the bucket is there, and that nobody reads it without a key.

        Raises:
            ResultBucketError: it is missing, or public.
            SupabaseError: Storage does not answer, after retries.
        """
        bucket = self.get_bucket()
        if not bucket.exists():
            raise ResultBucketError(
                f"there is no bucket {self.bucket!r} to keep results in; "
                "run `media-enricher setup`, which makes it"
            )
        if bucket.is_public():
            raise ResultBucketError(
                f"the bucket {self.bucket!r} is public, and results may hold EXIF; "
                "make it private in the Storage page, or name another one in the block"
            )

    def sweep(self, older_than: timedelta) -> int:
        """Delete the results in the folder that were written longer ago than this.

        It costs one request where there are none. Of very many it deletes the oldest 5,000, and
        leaves the rest for the next time.

        Returns:
            How many it deleted.

        Raises:
            SupabaseError: Storage does not do what was asked, after retries.
        """
        bucket = self.get_bucket()
        oldest_kept = datetime.now(UTC) - older_than
        swept = 0
        for _ in range(_SWEEP_PAGES):
            page = bucket.oldest(self.folder, _SWEEP_PAGE)
            expired = [path for path, written_at in page.items() if written_at < oldest_kept]
            if not expired:
                break
            bucket.delete(expired)
            swept += len(expired)
        return swept

    async def aread_path(self, path: str) -> bytes:
        """As `read_path`, beside the event loop."""
        return await asyncio.to_thread(self._read, path)

    @async_dispatch(aread_path)
    def read_path(self, path: str) -> bytes:  # type: ignore[override]  # as Prefect's own do
        """The record at a path in the folder, once its signature is found good.

        Prefect takes an error for a result that is not there, so each is told in the log.

        Raises:
            FileNotFoundError: there is none.
            RefusedRecordError: it is not signed, was altered or moved, or is not in JSON.
            SupabaseError: Storage does not answer, after retries.
        """
        return self._read(path)

    async def awrite_path(self, path: str, content: bytes) -> str:
        """As `write_path`, beside the event loop."""
        return await asyncio.to_thread(self._write, path, content)

    @async_dispatch(awrite_path)
    def write_path(self, path: str, content: bytes) -> str:  # type: ignore[override]
        """Sign a record and write it to a path in the folder, over an older one too.

        Returns:
            The path in the bucket.

        Raises:
            RefusedRecordError: it is no record of a Prefect result, or not one in JSON.
            SupabaseError: Storage does not do what was asked, after retries.
        """
        return self._write(path, content)

    def _read(self, path: str) -> bytes:
        from media_enricher.models import ErrorCode  # noqa: PLC0415
        from media_enricher.supabase.errors import SupabaseError  # noqa: PLC0415

        place = self._in_bucket(path)
        try:
            stored = self.get_bucket().download(place)
            return unseal(stored, f"{self.bucket}/{place}", self._signing_key())
        except SupabaseError as error:
            if error.code is ErrorCode.NOT_FOUND:
                raise FileNotFoundError(f"there is no {place} in {self.bucket}") from None
            _logger().warning("could not read the stored result %s: %s", place, error)
            raise
        except RefusedRecordError as refused:
            _logger().warning("refused the stored result %s in %s: %s", place, self.bucket, refused)
            raise

    def _write(self, path: str, content: bytes) -> str:
        place = self._in_bucket(path)
        sealed = seal(content, f"{self.bucket}/{place}", self._signing_key())
        self.get_bucket().upload(place, sealed, _CONTENT_TYPE)
        return place

    def _in_bucket(self, path: str) -> str:
        if {".", ".."} & set(path.split("/")):
            raise ValueError(f"a path within the folder has no `.` or `..`: {path!r}")
        return f"{self.folder}/{path}" if self.folder else path

    def _signing_key(self) -> bytes:
        return signing_key(self.credentials.service_key.get_secret_value())


def _logger() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    """The log of the run, or of Prefect where there is none."""
    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger("media_enricher")
