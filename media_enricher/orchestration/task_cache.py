"""The task cache: where results of batches are stored from run to run, and when they are deleted.

It is a folder of this machine, or a Prefect block. Results contain EXIF data, and Prefect never
deletes them.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from prefect import get_run_logger
from prefect.filesystems import WritableFileSystem
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH

from media_enricher.blocks import SupabaseBucket
from media_enricher.orchestration.signed_results import SignedResults, load_block
from media_enricher.settings import settings
from media_enricher.supabase.errors import SupabaseError

_OUR_FILES = re.compile(r"[0-9a-f]{64}(\..+)?")
"""A key of `batch_cache_key`, or a file that was left when a write was killed."""


class TaskCache:
    """The task cache of the settings, as one run uses it."""

    def __init__(self) -> None:
        """Find the cache, and check that it may be used.

        Raises:
            ValueError: there is no such block.
            ResultBucketError: the block's bucket is missing or public.
            SupabaseError: Storage does not respond, after retries.
        """
        configured = settings().result_storage
        self._block: WritableFileSystem | None = None
        if configured is None:
            self._place = str(Path(PREFECT_LOCAL_STORAGE_PATH.value()) / "media-enricher")
        elif configured.startswith("block:"):
            self._place = configured.removeprefix("block:")
            self._block = _load(self._place)
        else:
            self._place = str(Path(configured).absolute())

    def for_task(self) -> SignedResults:
        """The `result_storage` of a task.

        A block is loaded once for all threads. Other processes load it by its name: it holds keys,
        which must not be sent to other processes.
        """
        if self._block is None:
            return SignedResults(folder=Path(self._place))
        results = SignedResults(block=self._place)
        results.use(self._block)
        return results

    def sweep(self) -> None:
        """Delete expired results. Blocks of other types must do so themselves.

        Each run does this when it starts; it costs one request if nothing has expired.
        """
        age = timedelta(days=settings().cache_days)
        swept = 0
        if self._block is None:
            swept = _sweep_folder(Path(self._place), age)
        elif isinstance(self._block, SupabaseBucket):
            try:
                swept = self._block.sweep(age)
            except SupabaseError as error:
                get_run_logger().warning(
                    "could not delete expired results of the task cache: %s", error
                )
        if swept:
            get_run_logger().info("deleted %s expired results of the task cache", f"{swept:,}")


def _load(name: str) -> WritableFileSystem:
    """Load a block by its `type/name`, and check that it may be used."""
    block = load_block(name)
    if isinstance(block, SupabaseBucket):
        block.require_private()
    return block


def _sweep_folder(folder: Path, age: timedelta) -> int:
    if not folder.is_dir():
        return 0
    oldest_kept = time.time() - age.total_seconds()
    swept = 0
    for file in folder.iterdir():
        if not _OUR_FILES.fullmatch(file.name):
            continue  # another program's file
        with suppress(OSError):  # another run may delete it first; a folder stays
            if file.stat().st_mtime < oldest_kept:
                file.unlink()
                swept += 1
    return swept
