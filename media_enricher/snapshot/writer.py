"""Writing a run's snapshot, one closed Parquet file at a time, as the run goes along."""

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
"""The rows of one page of work."""

STARTED_AT = b"media_enricher.started_at"
"""Key in the metadata of each part: when the run began, in ISO 8601."""


class SnapshotWriter:
    """The snapshot of one run. Each part is one more file, complete and readable by itself.

    `write` leaves it under a name that readers do not take; `publish` gives it its own. Which
    number a part has, and whether it counts, is for the caller to say: it knows what is recorded.

    Attributes:
        path: where the parts are, as `media_enrich_runs.snapshot_path` holds it.
    """

    def __init__(
        self, run_id: str, bucket: str, started_at: datetime, target: str, open_bucket: OpenBucket
    ) -> None:
        """Name the snapshot; nothing is read or written yet.

        Args:
            run_id: the Prefect flow run id.
            bucket: the bucket that the run works on.
            started_at: aware; of the run's first attempt, so that retries find the same folder.
            target: `bucket:NAME` or a folder, as in MEDIA_ENRICHER_SNAPSHOT.
            open_bucket: makes the Storage bucket of a name; asked only for the first kind.

        Raises:
            SnapshotError: the target names nothing.
        """
        self._run_id = run_id
        self._started_at = started_at.astimezone(UTC)
        self._target = open_target(target, open_bucket)
        escape = self._target.escape
        self._folder = layout.run_folder(escape(bucket), self._started_at, escape(run_id))
        self.path = self._target.address(self._folder)

    def prepare(self) -> int:
        """Make the target if it is missing; a target that can't be used fails here.

        Returns:
            The number after that of the last part that is there, 0 if there is none.

        Raises:
            SnapshotError: the target is not fit, as a public bucket is not.
            SupabaseError: Storage did not do it, after retries.
        """
        self._target.prepare()
        names = (PurePosixPath(path).name for path in self._target.list(self._folder))
        numbers = [number for name in names if (number := layout.part_number(name)) is not None]
        return max(numbers, default=-1) + 1

    def write(self, number: int, outcomes: Sequence[Outcome]) -> None:
        """Make one part durable that readers do not see yet, over one of the same number.

        Raises:
            ValueError: there are no outcomes.
            SnapshotError: a folder does not take it.
            SupabaseError: Storage did not take it, after retries.
        """
        if not outcomes:
            raise ValueError("a part of a snapshot needs at least one outcome")
        path = f"{self._folder}/{layout.unrecorded_name(number)}"
        self._target.write(path, self._parquet(outcomes, datetime.now(UTC)))

    def publish(self, number: int) -> str:
        """Show a part that is recorded to readers, if it is not yet; return its address.

        Raises:
            SnapshotError: a folder does not let it be renamed.
            SupabaseError: Storage did not do it, after retries.
        """
        publish(self._target, self._folder, number)
        return self._target.address(f"{self._folder}/{layout.part_name(number)}")

    def delete(self, numbers: Iterable[int]) -> None:
        """Delete parts that are not to count, whole, half-written or not there at all.

        Raises:
            SnapshotError: a folder does not let them go.
            SupabaseError: Storage did not do it, after retries.
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
