"""The figures of a snapshot agree with what was written into it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from media_enricher.models import AssetStatus, ErrorCode, Kind, Outcome
from media_enricher.snapshot.reader import open_snapshot
from media_enricher.snapshot.summary import FormatCount, Reason, Summary, summarise
from media_enricher.snapshot.writer import SnapshotWriter
from tests.snapshot.records import RUN_ID, add, failure, outcome


def no_bucket(name: str) -> Any:
    raise AssertionError(f"a folder needs no bucket, yet {name!r} was asked for")


def summary_of(folder: Path, outcomes: list[Outcome], **options: int) -> Summary:
    started_at = datetime.now(UTC) - timedelta(seconds=50)
    target = SnapshotWriter(RUN_ID, "photos", started_at, str(folder), no_bucket)
    add(target, outcomes)
    return summarise(open_snapshot(target.path, no_bucket), **options)


def test_objects_are_counted_by_status_and_format(tmp_path: Path) -> None:
    summary = summary_of(
        tmp_path,
        [
            outcome("a.jpg", size_bytes=10, bytes_read=4),
            outcome("b.jpg", size_bytes=20, bytes_read=4),
            outcome("c.png", size_bytes=5, format="png"),
            outcome("d.txt", status=AssetStatus.UNSUPPORTED, format=None, size_bytes=None),
            failure("e.jpg", ErrorCode.CORRUPT),
        ],
    )

    assert summary.run_id == RUN_ID
    assert summary.bucket == "photos"
    assert summary.statuses == {"enriched": 3, "unsupported": 1, "failed": 1}
    assert summary.formats == [FormatCount("jpeg", 2, 30), FormatCount("png", 1, 5)]
    assert summary.size_bytes == 10 + 20 + 5 + 1_000
    assert summary.bytes_read == 4 + 4 + 3 * 1_000


def test_failures_are_grouped_by_reason_with_an_example_most_frequent_first(tmp_path: Path) -> None:
    summary = summary_of(
        tmp_path,
        [
            failure("a.jpg", ErrorCode.TIMEOUT),
            failure("b.jpg", ErrorCode.CORRUPT, "bad Huffman code"),
            failure("c.jpg", ErrorCode.CORRUPT, "no end"),
            outcome("d.txt", status=AssetStatus.UNSUPPORTED, error_code=ErrorCode.UNSUPPORTED_TYPE),
        ],
    )

    assert summary.reasons == [
        Reason("failed", "corrupt", 2, "b.jpg", "bad Huffman code"),
        Reason("failed", "timeout", 1, "a.jpg", None),
        Reason("unsupported", "unsupported_type", 1, "d.txt", None),
    ]


def test_the_pace_counts_from_the_start_of_the_run(tmp_path: Path) -> None:
    summary = summary_of(
        tmp_path, [outcome(f"{n}.jpg", download_seconds=n / 10) for n in range(101)]
    )

    assert summary.elapsed_seconds == pytest.approx(50, abs=5)
    assert summary.objects_per_second == pytest.approx(101 / summary.elapsed_seconds)
    assert summary.median_download_seconds == pytest.approx(5.0)


def test_copies_are_found_by_sha256_and_their_waste_is_added_up(tmp_path: Path) -> None:
    summary = summary_of(
        tmp_path,
        [
            outcome("a.jpg", sha256="aa", size_bytes=100),
            outcome("b.jpg", sha256="bb", size_bytes=7),
            outcome("c.jpg", sha256="aa", size_bytes=100),
            outcome("d.jpg", sha256="aa", size_bytes=100),
            outcome("e.jpg", sha256="cc", size_bytes=900),
            outcome("f.jpg", sha256="bb", size_bytes=7),
            outcome("g.jpg", sha256=None),
            outcome("h.jpg", sha256=None),
        ],
    )

    assert summary.duplicates.groups == 2
    assert summary.duplicates.objects == 5
    assert summary.duplicates.wasted_bytes == 200 + 7
    assert [group.paths for group in summary.duplicates.worst] == [
        ["a.jpg", "c.jpg", "d.jpg"],
        ["b.jpg", "f.jpg"],
    ]


def test_lookalikes_are_found_by_phash_but_exact_copies_are_not_told_twice(tmp_path: Path) -> None:
    outcomes = [
        outcome("original.jpg", phash="f0f0f0f0f0f0f0f0", sha256="aa", size_bytes=900),
        outcome("smaller.jpg", phash="f0f0f0f0f0f0f0f3", sha256="bb", size_bytes=50),
        outcome("other.jpg", phash="0123456789abcdef", sha256="cc"),
        outcome("copy.jpg", phash="0123456789abcdef", sha256="cc"),
        outcome("header-only.jpg", phash=None, sha256=None),
        outcome("film.mp4", phash="f0f0f0f0f0f0f0f0", sha256="dd", kind=Kind.VIDEO),
    ]

    near = summary_of(tmp_path / "near", outcomes).near_duplicates
    nearer = summary_of(tmp_path / "nearer", outcomes, near_distance=1).near_duplicates

    assert [group.paths for group in near.worst] == [["original.jpg", "smaller.jpg"]]
    assert near.wasted_bytes == 50
    assert nearer.groups == 0


def test_replaced_objects_are_told_from_new_and_unchanged_ones(tmp_path: Path) -> None:
    summary = summary_of(
        tmp_path,
        [
            outcome("new.jpg"),
            outcome("same.jpg", etag='"1"', previous_etag='"1"'),
            outcome("replaced.jpg", etag='"2"', previous_etag='"1"'),
            failure("vanished.jpg", ErrorCode.NOT_FOUND, etag=None, previous_etag='"1"'),
        ],
    )

    assert summary.replaced == 1


def test_a_run_of_failures_alone_has_a_summary(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, [failure("a.jpg", ErrorCode.TIMEOUT, size_bytes=None)])

    assert summary.formats == []
    assert summary.duplicates.groups == summary.near_duplicates.groups == 0
