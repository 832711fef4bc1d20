"""What was written is what is read, in pandas too."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings

from media_enricher.models import Outcome
from media_enricher.snapshot import schema
from media_enricher.snapshot.reader import Snapshot, open_snapshot
from media_enricher.snapshot.targets import SnapshotError
from media_enricher.snapshot.writer import SnapshotWriter
from tests.snapshot.records import RUN_ID, STARTED_AT, add, outcome, outcomes


def no_bucket(name: str) -> Any:
    raise AssertionError(f"a folder needs no bucket, yet {name!r} was asked for")


def writer(folder: Path, run_id: str = RUN_ID) -> SnapshotWriter:
    return SnapshotWriter(run_id, "photos", STARTED_AT, str(folder), no_bucket)


def read(address: object) -> Snapshot:
    return open_snapshot(str(address), no_bucket)


@given(outcomes())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_any_outcome_comes_back_from_pandas_as_it_was(written: list[Outcome]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        target = writer(Path(folder))
        add(target, written)
        rows = read(target.path).frame()

    assert len(rows) == len(written)
    for outcome_, row in zip(written, rows.to_dict("records"), strict=True):
        assert row.pop("run_id") == RUN_ID
        assert abs((datetime.now(UTC) - row.pop("written_at")).total_seconds()) < 60
        found = {str(name): _plain(str(name), value) for name, value in row.items()}
        assert found == {
            name: getattr(outcome_ if hasattr(outcome_, name) else outcome_.asset, name)
            for name in found
        }


def _plain(name: str, value: Any) -> Any:
    """A cell of a frame as the Python value that it stands for."""
    if isinstance(value, np.ndarray):
        return list(value)
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    return json.loads(value) if name == "exif" else value


def test_integers_stay_integers_beside_missing_ones(tmp_path: Path) -> None:
    target = writer(tmp_path)
    add(target, [outcome("a.jpg", width=2**53 + 1), outcome("b.pdf", width=None)])

    widths = read(target.path).frame()["width"]

    assert widths[0] == 2**53 + 1
    assert widths.isna().tolist() == [False, True]


def test_a_snapshot_is_read_by_its_folder_or_a_single_part(tmp_path: Path) -> None:
    target = writer(tmp_path)
    add(target, [outcome("a.jpg")])
    part = add(target, [outcome("b.jpg")])

    assert read(target.path).table["path"].to_pylist() == ["a.jpg", "b.jpg"]
    assert read(part).table["path"].to_pylist() == ["b.jpg"]
    assert read(tmp_path).started_at == STARTED_AT


def test_an_object_touched_again_after_a_retry_counts_once_as_it_was_last(tmp_path: Path) -> None:
    add(writer(tmp_path), [outcome("a.jpg", width=1), outcome("b.jpg")])
    add(writer(tmp_path), [outcome("a.jpg", width=2)])

    rows = read(tmp_path).table

    assert rows.select(["path", "width"]).to_pylist() == [
        {"path": "b.jpg", "width": 640},
        {"path": "a.jpg", "width": 2},
    ]


def test_parts_are_read_in_the_order_of_their_numbers_past_five_digits(tmp_path: Path) -> None:
    target = writer(tmp_path)
    first = Path(add(target, [outcome("a.jpg", width=1)]))
    first.rename(first.with_name("part-99999.parquet"))
    add(writer(tmp_path), [outcome("a.jpg", width=2)])

    assert [Path(part).name for part in read(tmp_path).parts] == [
        "part-99999.parquet",
        "part-100000.parquet",
    ]
    assert read(tmp_path).table["width"].to_pylist() == [2]


def test_a_part_of_an_older_version_lacks_columns_and_is_read_all_the_same(tmp_path: Path) -> None:
    target = writer(tmp_path)
    part = add(target, [outcome("a.jpg", tags=["sea"])])
    older = pq.read_table(part, partitioning=None).drop_columns(["tags"])
    pq.write_table(older, part)

    rows = read(target.path)

    assert rows.table["tags"].to_pylist() == [None]
    assert rows.table.schema.names == schema.SCHEMA.names


def test_several_runs_are_refused_with_their_names(tmp_path: Path) -> None:
    add(writer(tmp_path, "one"), [outcome("a.jpg")])
    add(writer(tmp_path, "two"), [outcome("a.jpg")])

    with pytest.raises(SnapshotError, match=r"contains 2 runs.*run_id=one, .*run_id=two"):
        read(tmp_path)


def test_an_empty_or_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match=r"no part-.*nowhere"):
        read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-40], lambda data: data[:4] + bytes(400) + data[404:], lambda _: b""],
    ids=["cut off", "overwritten", "empty"],
)
def test_a_damaged_part_is_named(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    target = writer(tmp_path)
    add(target, [outcome("a.jpg")])
    part = Path(add(target, [outcome("b.jpg")]))
    part.write_bytes(damage(part.read_bytes()))

    with pytest.raises(SnapshotError, match=r"part-00001.parquet is not a valid Parquet file"):
        read(target.path)


def test_someone_elses_parquet_is_not_taken_for_ours(tmp_path: Path) -> None:
    pq.write_table(pa.table({"path": ["a.jpg"]}), tmp_path / "part-00000.parquet")

    with pytest.raises(SnapshotError, match="not written by Media Enricher"):
        read(tmp_path)
