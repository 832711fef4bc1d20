"""Write a run's snapshot during the run, one complete Parquet file at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from media_enricher.models import Outcome
from media_enricher.snapshot import layout
from media_enricher.snapshot.discarding import discard, publish
from media_enricher.snapshot.schema import REPETITIVE, to_table
from media_enricher.snapshot.targets import OpenBucket, open_target

ROWS_PER_GROUP = 1_000
"""The number of rows in a row group of a part."""

STARTED_AT = b"media_enricher.started_at"
"""Key in the metadata of each part: when the run began, in ISO 8601."""


class SnapshotWriter:
    """The snapshot of one run. Each part is a file that is complete and readable by itself.

    `write` writes it under a name that readers ignore; `publish` renames it. The caller decides on
    the numbers of parts and on which of them count, because it knows what is recorded.

    Attributes:
        path: where the parts are, as `media_enrich_runs.snapshot_path` holds it.
    """

    def __init__(
        self, run_id: str, bucket: str, started_at: datetime, target: str, open_bucket: OpenBucket
    ) -> None:
        """Determine the address of the snapshot; read and write nothing yet.

        Args:
            run_id: the Prefect flow run id.
            bucket: the bucket that the run processes.
            started_at: aware; the start of the first attempt, so that retries use the same folder.
            target: `bucket:NAME` or a folder, as in MEDIA_ENRICHER_SNAPSHOT.
            open_bucket: opens a Storage bucket by name; used only for the first kind.

        Raises:
            SnapshotError: the target is not valid.
        """
        self._run_id = run_id
        self._started_at = started_at.astimezone(UTC)
        self._target = open_target(target, open_bucket)
        escape = self._target.escape
        self._folder = layout.run_folder(escape(bucket), self._started_at, escape(run_id))
        self.path = self._target.address(self._folder)

    def prepare(self) -> int:
        """Create the target if it is missing; fail if it cannot be used.

        Returns:
            The number after the last existing part; 0 if there is none.

        Raises:
            SnapshotError: the target cannot be used, for example because it is a public bucket.
            SupabaseError: Storage refused or failed a request, after retries.
        """
        self._target.prepare()
        names = (PurePosixPath(path).name for path in self._target.list(self._folder))
        numbers = [number for name in names if (number := layout.part_number(name)) is not None]
        return max(numbers, default=-1) + 1

    def write(self, number: int, outcomes: Sequence[Outcome]) -> None:
        """Write one part, which readers do not see yet; overwrite one of the same number.

        Raises:
            ValueError: there are no outcomes.
            SnapshotError: a folder does not take it.
            SupabaseError: Storage did not take it, after retries.
        """
        if not outcomes:
            raise ValueError("a part of a snapshot needs at least one outcome")
        path = f"{self._folder}/{layout.unrecorded_name(number)}"
        self._target.write(path, self._parquet(outcomes, datetime.now(UTC)))

    def address(self, number: int) -> str:
        """The address of a part that is published."""
        return self._target.address(f"{self._folder}/{layout.part_name(number)}")

    def publish(self, number: int) -> None:
        """Make a recorded part visible to readers.

        Raises:
            SnapshotError: the file cannot be renamed.
            SupabaseError: Storage refused or failed a request, after retries.
        """
        publish(self._target, self._folder, number)

    def delete(self, numbers: Iterable[int]) -> None:
        """Delete parts that were never recorded: complete, partly written or missing ones.

        Raises:
            SnapshotError: a file cannot be deleted.
            SupabaseError: Storage refused or failed a request, after retries.
        """
        discard(self._target, self._folder, numbers)

    def _parquet(self, outcomes: Sequence[Outcome], written_at: datetime) -> bytes:
        table = to_table(outcomes, run_id=self._run_id, written_at=written_at)
        table = table.replace_schema_metadata({STARTED_AT: self._started_at.isoformat()})
        sink = pa.BufferOutputStream()
        pq.write_table(
            table,
            sink,
            compression="zstd",
            row_group_size=ROWS_PER_GROUP,
            use_dictionary=REPETITIVE,
        )
        parquet: bytes = sink.getvalue().to_pybytes()
        return parquet
