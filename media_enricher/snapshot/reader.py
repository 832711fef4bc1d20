"""Read a run's snapshot, from a Storage bucket or a folder, into one table."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from media_enricher.snapshot import layout
from media_enricher.snapshot.schema import SCHEMA
from media_enricher.snapshot.targets import (
    OpenBucket,
    SnapshotError,
    Target,
    locate,
)
from media_enricher.snapshot.writer import STARTED_AT

if TYPE_CHECKING:
    import pandas as pd

DOWNLOADS_AT_ONCE = 8


class Snapshot:
    """What one run did, one row per object.

    Attributes:
        address: where it was read from: `bucket:NAME/…` or a folder.
        parts: the addresses of its files, in the order they were written.
        started_at: when the run began, aware, UTC.
        table: the rows as Arrow, columns as in `schema.SCHEMA` (and any that a newer version
            added). An object that was processed again in a retry of the run is there once, with
            its latest row.
    """

    def __init__(
        self, address: str, parts: list[str], started_at: datetime, table: pa.Table
    ) -> None:
        self.address = address
        self.parts = parts
        self.started_at = started_at
        self.table = table

    def frame(self) -> pd.DataFrame:
        """The rows for pandas: integers and booleans nullable, times in UTC, `exif` as JSON."""
        import pandas as pd  # noqa: PLC0415  (half a second that the flow need not spend)

        nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
        frame: pd.DataFrame = self.table.to_pandas(types_mapper=nullable.get)
        return frame


def open_snapshot(address: str, open_bucket: OpenBucket) -> Snapshot:
    """Read the snapshot of one run.

    Args:
        address: `bucket:NAME/…` as in `media_enrich_runs.snapshot_path`, a folder, or one part.
        open_bucket: opens a Storage bucket by name; used only for the first kind.

    Raises:
        SnapshotError: there are no parts, they belong to several runs, or one cannot be read.
        SupabaseError: Storage did not respond, or rejected the key.
    """
    target, folder = locate(address, open_bucket)
    parts = [path for path in _files(target, folder) if _number(path) is not None]
    if not parts:
        raise SnapshotError(
            f"there is no part-*.parquet under {address}. Check the address and "
            "MEDIA_ENRICHER_SNAPSHOT. A run that processed no objects has no snapshot"
        )
    _refuse_several_runs(address, parts)
    parts.sort(key=lambda path: _number(path) or 0)
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        tables = list(pool.map(lambda path: _read(target, path), parts))
    return Snapshot(
        address,
        [target.address(path) for path in parts],
        _started_at(tables[0]),
        _last_of_each_object(_joined(tables)),
    )


def _files(target: Target, folder: str) -> list[str]:
    return [folder] if _number(folder) is not None else target.list(folder)


def _number(path: str) -> int | None:
    return layout.part_number(PurePosixPath(path).name)


def _refuse_several_runs(address: str, parts: list[str]) -> None:
    folders = sorted({str(PurePosixPath(path).parent) for path in parts})
    if len(folders) > 1:
        raise SnapshotError(
            f"{address} contains {len(folders)} runs. Choose one of them: "
            + ", ".join(folders[:3])
            + (", …" if len(folders) > 3 else "")
        )


def _read(target: Target, path: str) -> pa.Table:
    data = target.read(path)
    try:
        return pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:  # damaged pages raise OSError
        raise SnapshotError(
            f"{target.address(path)} is not a valid Parquet file: {error}"
        ) from None


def _started_at(part: pa.Table) -> datetime:
    stated = (part.schema.metadata or {}).get(STARTED_AT)
    if stated is None:
        raise SnapshotError(
            "this Parquet file was not written by Media Enricher: its metadata has no "
            + STARTED_AT.decode()
        )
    return datetime.fromisoformat(stated.decode())


def _joined(tables: list[pa.Table]) -> pa.Table:
    """All rows; columns that older versions did not write are null."""
    bare = (table.replace_schema_metadata(None) for table in tables)
    return pa.concat_tables([SCHEMA.empty_table(), *bare], promote_options="default")


def _last_of_each_object(rows: pa.Table) -> pa.Table:
    last = {path: row for row, path in enumerate(rows["path"].to_pylist())}
    return rows if len(last) == len(rows) else rows.take(pa.array(sorted(last.values())))
