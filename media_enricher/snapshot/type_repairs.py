"""Parquet parts about repaired content types, beside the snapshots of runs.

`_type-repairs/bucket=…/date=YYYY-MM-DD/part-UUID.parquet`. Readers that take the whole place for
one table of enriched objects leave out what begins with `_`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

import msgspec
import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq

from media_enricher.snapshot.targets import OpenBucket, open_target
from media_enricher.type_repairs import RepairRow

FOLDER = "_type-repairs"
"""The folder of all parts about repairs."""

_MOMENT = pa.timestamp("us", tz="UTC")
_TYPES = {"started_at": _MOMENT, "settled_at": _MOMENT, "size_bytes": pa.int64()}
SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string())) for name in RepairRow.__struct_fields__])
"""One row per repair that has ended."""


class RepairParts:
    """The parts about one bucket."""

    def __init__(self, bucket: str, target: str, open_bucket: OpenBucket) -> None:
        """Determine the address; read and write nothing yet.

        Args:
            bucket: the bucket whose objects are repaired.
            target: `bucket:NAME` or a folder, as in MEDIA_ENRICHER_SNAPSHOT.
            open_bucket: opens a Storage bucket by name; used only for the first kind.

        Raises:
            SnapshotError: the target is not valid.
        """
        self._target = open_target(target, open_bucket)
        self._folder = f"{FOLDER}/bucket={self._target.escape(bucket)}"

    def prepare(self) -> None:
        """Create the place if it is missing.

        Raises:
            SnapshotError: the place cannot be used, for example because it is a public bucket.
            SupabaseError: Storage refused or failed a request, after retries.
        """
        self._target.prepare()

    def write(self, rows: Sequence[RepairRow]) -> str:
        """Write the rows of one part, whose id they have; overwrite it if it is there.

        Returns:
            The address of the part.

        Raises:
            SnapshotError: a folder does not take it.
            SupabaseError: Storage did not take it, after retries.
        """
        # By the rows alone, so that the same part gets the same name, whenever it is written.
        date = min(row.settled_at for row in rows).astimezone(UTC)
        path = f"{self._folder}/date={date:%Y-%m-%d}/part-{rows[0].part}.parquet"
        self._target.write(path, _parquet(rows))
        return self._target.address(path)


def _parquet(rows: Sequence[RepairRow]) -> bytes:
    # Through JSON, because `pa.array` imports pandas: half a second and 60 MB.
    text = b"\n".join(msgspec.json.encode(row) for row in rows)
    table = pj.read_json(
        pa.BufferReader(text),
        read_options=pj.ReadOptions(block_size=len(text) + 1),  # no row is cut in two
        parse_options=pj.ParseOptions(explicit_schema=SCHEMA),
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    parquet: bytes = sink.getvalue().to_pybytes()
    return parquet
