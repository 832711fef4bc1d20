"""Parts of a snapshot: complete, numbered on, repeatable, under a path that readers understand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from media_enricher.snapshot.reader import open_snapshot
from media_enricher.snapshot.targets import SnapshotError
from media_enricher.snapshot.writer import SnapshotWriter
from tests.snapshot.records import RUN_ID, STARTED_AT, add, add_as, outcome

MakeWriter = Callable[..., SnapshotWriter]


def no_bucket(name: str) -> object:
    raise AssertionError(f"a folder needs no bucket, yet {name!r} was asked for")


@pytest.fixture
def make_writer(tmp_path: Path) -> MakeWriter:
    def make(
        *, run_id: str = RUN_ID, bucket: str = "photos", started_at: datetime = STARTED_AT
    ) -> SnapshotWriter:
        return SnapshotWriter(run_id, bucket, started_at, str(tmp_path), no_bucket)  # type: ignore[arg-type]

    return make


def test_parts_lie_in_hive_partitions_and_are_numbered(
    make_writer: MakeWriter, tmp_path: Path
) -> None:
    writer = make_writer()

    first = add(writer, [outcome("a.jpg")])
    second = add(writer, [outcome("b.jpg")])

    folder = tmp_path / "bucket=photos" / "date=2026-11-23" / f"run_id={RUN_ID}"
    assert writer.path == str(folder)
    assert [first, second] == [f"{folder}/part-00000.parquet", f"{folder}/part-00001.parquet"]
    assert [file.name for file in sorted(folder.iterdir())] == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]


def test_the_date_is_that_in_utc(make_writer: MakeWriter) -> None:
    new_years_eve_in_new_york = datetime(2026, 12, 31, 20, tzinfo=timezone(-timedelta(hours=5)))

    assert "/date=2027-01-01/" in make_writer(started_at=new_years_eve_in_new_york).path


def test_naming_a_snapshot_makes_nothing(make_writer: MakeWriter, tmp_path: Path) -> None:
    make_writer()

    assert list(tmp_path.iterdir()) == []


def test_a_part_has_a_row_group_per_thousand_rows_packed_with_zstd(make_writer: MakeWriter) -> None:
    part = add(make_writer(), [outcome(f"{number}.jpg") for number in range(2_500)])

    metadata = pq.ParquetFile(part).metadata
    assert [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)] == [
        1_000,
        1_000,
        500,
    ]
    assert metadata.row_group(0).column(3).compression == "ZSTD"


def test_a_part_written_again_lies_over_the_first(make_writer: MakeWriter) -> None:
    writer = make_writer()
    writer.write(0, [outcome("a.jpg")])

    part = add_as(0, writer, [outcome("b.jpg")])
    assert pd.read_parquet(part)["path"].tolist() == ["b.jpg"]


def test_deleted_parts_leave_nothing_behind(make_writer: MakeWriter) -> None:
    writer = make_writer()
    kept = add_as(0, writer, [outcome("a.jpg")])
    writer.write(1, [outcome("b.jpg")])
    add_as(4, writer, [outcome("of an older version.jpg")])
    for number in (1, 2):
        cut_short = Path(writer.path) / f"._part-{number:05}.parquet.unrecorded.x7.unfinished"
        cut_short.write_bytes(b"PAR1 and then the power went")

    writer.delete([1, 2, 3, 4])

    assert [str(file) for file in Path(writer.path).iterdir()] == [kept]


def test_readers_see_a_part_once_it_is_recorded(make_writer: MakeWriter) -> None:
    writer = make_writer()
    recorded = add(writer, [outcome("a.jpg")])
    writer.write(1, [outcome("b.jpg")])

    assert pd.read_parquet(writer.path)["path"].tolist() == ["a.jpg"]
    assert open_snapshot(writer.path, no_bucket).parts == [recorded]  # type: ignore[arg-type]

    for _ in range(2):
        writer.publish(1)
    assert open_snapshot(writer.path, no_bucket).parts == [recorded, writer.address(1)]  # type: ignore[arg-type]
    assert pd.read_parquet(writer.path)["path"].tolist() == ["a.jpg", "b.jpg"]


def test_a_part_of_nothing_is_refused(make_writer: MakeWriter, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one outcome"):
        add(make_writer(), [])

    assert list(tmp_path.iterdir()) == []


def test_a_write_that_failed_is_repeated_under_its_number(
    make_writer: MakeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = make_writer()
    add(writer, [outcome("a.jpg")])
    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", _no_space_left)
        with pytest.raises(SnapshotError, match=r"No space left on device\. Free some disk space"):
            add(writer, [outcome("b.jpg")])

    part = add(writer, [outcome("b.jpg")])

    assert part.endswith("part-00001.parquet")
    assert [file.name for file in sorted(Path(writer.path).iterdir())] == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]


def _no_space_left(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_retried_run_counts_on_after_the_parts_that_are_there(make_writer: MakeWriter) -> None:
    first_attempt = make_writer()
    for number in range(3):
        add(first_attempt, [outcome(f"{number}.jpg")])

    second_attempt = make_writer()

    assert second_attempt.path == first_attempt.path
    assert add(second_attempt, [outcome("d.jpg")]).endswith("part-00003.parquet")
    assert add(make_writer(run_id="another"), [outcome("a.jpg")]).endswith("part-00000.parquet")


def test_what_a_killed_writer_left_half_done_does_no_harm(make_writer: MakeWriter) -> None:
    writer = make_writer()
    add(writer, [outcome("a.jpg")])
    (Path(writer.path) / ".abc.unfinished").write_bytes(b"PAR1 and then the power went")

    assert add(make_writer(), [outcome("b.jpg")]).endswith("part-00001.parquet")
    assert len(open_snapshot(writer.path, no_bucket).parts) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bucket",
    ["photos", "my photos", "a=b", "100%", "a+b&c", "what?", "it's", "../../etc", "média", "日本"],
)
def test_any_bucket_name_stays_in_its_folder_and_is_read_back_as_it_is(
    bucket: str, make_writer: MakeWriter, tmp_path: Path
) -> None:
    part = Path(add(make_writer(bucket=bucket), [outcome("a.jpg", bucket=bucket)]))

    assert part.resolve().is_relative_to(tmp_path.resolve())
    assert len(part.relative_to(tmp_path).parts) == 4
    whole_folder = pd.read_parquet(tmp_path)
    assert list(whole_folder["bucket"]) == [bucket]
    assert list(whole_folder["run_id"]) == [RUN_ID]
    assert list(whole_folder["date"].astype(str)) == ["2026-11-23"]


def test_a_bucket_named_by_a_number_is_read_where_partitions_are_not_guessed(
    make_writer: MakeWriter, tmp_path: Path
) -> None:
    add(make_writer(bucket="2026"), [outcome("a.jpg", bucket="2026")])

    assert list(pd.read_parquet(tmp_path, partitioning=None)["bucket"]) == ["2026"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    writer = SnapshotWriter(RUN_ID, "photos", STARTED_AT, str(tmp_path / "file"), no_bucket)  # type: ignore[arg-type]

    with pytest.raises(SnapshotError, match=r"file: .*MEDIA_ENRICHER_SNAPSHOT"):
        add(writer, [outcome("a.jpg")])


@pytest.mark.parametrize("target", ["", "  ", "bucket:", "bucket:a/b"])
def test_a_target_that_names_nothing_is_refused_at_once(target: str) -> None:
    with pytest.raises(SnapshotError, match="bucket:NAME, or to a folder"):
        SnapshotWriter(RUN_ID, "photos", STARTED_AT, target, no_bucket)  # type: ignore[arg-type]
