"""Adding up the rows of shards."""

from __future__ import annotations

from typing import Any

from media_enricher.models import EnrichRun, RunStatus
from media_enricher.shard_stats import ShardStats


def row(status: RunStatus, **figures: Any) -> EnrichRun:
    done = figures.get("succeeded", 0) + figures.get("failed", 0) + figures.get("skipped", 0)
    return EnrichRun(id="1", bucket="b", status=status, processed_files=done, **figures)


def test_figures_are_those_of_all_shards_however_often_they_are_added_up() -> None:
    stats = ShardStats()
    shards = [
        row(RunStatus.COMPLETED, total_files=5, succeeded=3, failed=1, skipped=1, bytes_read=10),
        row(RunStatus.RUNNING, total_files=7, succeeded=2, bytes_read=20),
    ]
    for _ in range(2):
        stats.add_up(shards)
    assert stats.counters() == {
        "total_files": 12,
        "processed_files": 7,
        "succeeded": 5,
        "failed": 1,
        "skipped": 1,
        "bytes_read": 30,
    }
    assert stats.summary().startswith("5 enriched, 1 failed, 1 unsupported of 12 in ")


def test_the_plan_stands_until_the_shards_have_made_theirs() -> None:
    stats = ShardStats()
    stats.expect(100)
    stats.add_up([row(RunStatus.QUEUED), row(RunStatus.RUNNING, total_files=40, succeeded=10)])
    assert stats.total == 100


def test_what_a_failed_shard_left_undone_is_counted_once() -> None:
    stats = ShardStats()
    stats.add_up(
        [
            row(RunStatus.CRASHED, total_files=100, succeeded=30),
            row(RunStatus.RUNNING, total_files=70),
        ]
    )
    assert stats.total == 100


def test_without_anything_to_do() -> None:
    assert ShardStats().summary() == "Nothing to do"
