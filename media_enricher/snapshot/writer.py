"""Writing a run's snapshot, one closed Parquet file at a time, as the run goes along."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from media_enricher.models import Outcome
from media_enricher.snapshot import layout
from media_enricher.snapshot.schema import REPETITIVE, to_table
from media_enricher.snapshot.targets import OpenBucket, open_target

ROWS_PER_GROUP = 1_000
"""The rows of one page of work."""

STARTED_AT = b"media_enricher.started_at"
"""Key in the metadata of each part: when the run began, in ISO 8601."""


class _Part(msgspec.Struct, frozen=True):
    number: int
    written_at: datetime


class SnapshotWriter:
    """The snapshot of one run. Each `write` leaves one more file, complete and readable by itself.

    A run that dies leaves every part that it finished. One that is retried under the same run id
    goes on counting after them.

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
        self._is_prepared = False
        self._next_number = 0
        self._parts: dict[bytes, _Part] = {}
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Make the target if it is missing and look which parts are there. `write` does it too.

        Worth calling before the work starts: a target that can't be used fails here and not after
        the first batch.

        Raises:
            SnapshotError: the target is not fit, as a public bucket is not.
            SupabaseError: Storage did not do it, after retries.
        """
        with self._lock:
            self._prepare()

    def write(self, outcomes: Sequence[Outcome]) -> str:
        """Write one part; its address is returned once it is complete and durable.

        The same outcomes handed in again, as a retried task does, make the same part once more
        with the same number and the same bytes, over the first.

        Raises:
            ValueError: there are no outcomes.
            SnapshotError: the target is not fit.
            SupabaseError: Storage did not take it, after retries.
        """
        if not outcomes:
            raise ValueError("a part of a snapshot needs at least one outcome")
        with self._lock:
            self._prepare()
            part = self._part_for(outcomes)
            path = f"{self._folder}/{layout.part_name(part.number)}"
            self._target.write(path, self._parquet(outcomes, part.written_at))
            return self._target.address(path)

    def _prepare(self) -> None:
        if self._is_prepared:
            return
        self._target.prepare()
        names = (PurePosixPath(path).name for path in self._target.list(self._folder))
        numbers = [number for name in names if (number := layout.part_number(name)) is not None]
        self._next_number = max(numbers, default=-1) + 1
        self._is_prepared = True

    def _part_for(self, outcomes: Sequence[Outcome]) -> _Part:
        """The part of these very outcomes; a new one if they were not seen before."""
        digest = hashlib.sha256(msgspec.json.encode(outcomes)).digest()
        part = self._parts.get(digest)
        if part is None:
            part = self._parts[digest] = _Part(self._next_number, datetime.now(UTC))
            self._next_number += 1
        return part

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
