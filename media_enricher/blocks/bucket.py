"""A folder of a Storage bucket in which Prefect stores the results of tasks."""

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

_CONTENT_TYPE = "application/octet-stream"  # a signature precedes the JSON
_SWEEP_PAGE = 100
_SWEEP_PAGES = 50


class ResultBucketError(Exception):
    """The bucket cannot be used for results. The message says why, and what to do."""


def _bare_folder(folder: str) -> str:
    return folder.strip("/")


class SupabaseBucket(WritableFileSystem):
    """A folder of a Supabase Storage bucket in which results of tasks are stored.

    Use it as `result_storage` of tasks and flows with `result_serializer="json"`: the task cache
    then outlives machines and containers. Each result is signed with a key derived from the service
    key. A result that is unsigned, altered, moved or not JSON is refused: the task runs again, and
    the log says why.

    For other files, `get_bucket()` returns the bucket itself.

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
        min_length=1,
        pattern="^[^/]+$",
        description="The name of a private bucket. `create()` creates it.",
    )
    folder: Annotated[str, AfterValidator(_bare_folder)] = Field(
        default="", description="The folder in the bucket. Empty: the top level."
    )

    def get_bucket(self) -> Bucket:
        """The bucket itself, for other files: nothing is signed or checked."""
        from media_enricher.supabase.bucket import Bucket  # noqa: PLC0415

        return Bucket(self.credentials.get_client(), self.bucket)

    def create(self) -> bool:
        """Create the bucket as a private one, unless it exists.

        Returns:
            Whether it was created.

        Raises:
            ResultBucketError: the bucket exists and is public.
            SupabaseError: Storage refuses or fails the request, after retries.
        """
        bucket = self.get_bucket()
        is_new = not bucket.exists()
        if is_new:
            bucket.create_private()
        self.require_private()
        return is_new

    def require_private(self) -> None:
        """Require that the bucket exists, and that nobody can read it without a key.

        Raises:
            ResultBucketError: it is missing or public.
            SupabaseError: Storage does not respond, after retries.
        """
        is_public = self.get_bucket().is_public()
        if is_public is None:
            raise ResultBucketError(
                f"there is no bucket {self.bucket!r} for task results; "
                "run `media-enricher setup` to create it"
            )
        if is_public:
            raise ResultBucketError(
                f"the bucket {self.bucket!r} is public, but task results may contain EXIF data; "
                "make it private on the Storage page, or set another bucket in the block"
            )

    def sweep(self, older_than: timedelta) -> int:
        """Delete the results in the folder that are older than this.

        It costs one request if there are none. At most 5,000 are deleted at once, oldest first.

        Returns:
            How many were deleted.

        Raises:
            SupabaseError: Storage refuses or fails the request, after retries.
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
        """Like `read_path`, without blocking the event loop."""
        return await asyncio.to_thread(self._read, path)

    @async_dispatch(aread_path)
    def read_path(self, path: str) -> bytes:  # type: ignore[override]  # as Prefect's own do
        """Read the record at a path in the folder, and check its signature.

        Prefect treats every error as a missing result, so errors are logged here.

        Raises:
            FileNotFoundError: there is no record.
            RefusedRecordError: it is unsigned, altered, moved or not JSON.
            SupabaseError: Storage does not respond, after retries.
        """
        return self._read(path)

    async def awrite_path(self, path: str, content: bytes) -> str:
        """Like `write_path`, without blocking the event loop."""
        return await asyncio.to_thread(self._write, path, content)

    @async_dispatch(awrite_path)
    def write_path(self, path: str, content: bytes) -> str:  # type: ignore[override]
        """Sign a record and write it to a path in the folder; overwrite an older one.

        Returns:
            The path in the bucket.

        Raises:
            RefusedRecordError: it is not a record of a Prefect result in JSON.
            SupabaseError: Storage refuses or fails the request, after retries.
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
            raise ValueError(f"the path {path!r} must not contain `.` or `..`")
        return f"{self.folder}/{path}" if self.folder else path

    def _signing_key(self) -> bytes:
        return signing_key(self.credentials.service_key.get_secret_value())


def _logger() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    """The logger of the run, or a plain one outside of runs."""
    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger("media_enricher")
