"""The backfill flow, whole: a real bucket, a real database, a real Prefect server."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as pq
import pytest
from prefect import Flow
from prefect.client.schemas.objects import State

from flows.backfill import backfill
from media_enricher.orchestration import resources
from media_enricher.orchestration.settling import settle_snapshots
from media_enricher.settings import settings
from media_enricher.snapshot.reader import open_snapshot
from supabase_local import LocalStack
from tasks.report import Progress
from tests.flows.conftest import SLOWLY, FilledBucket, FlowProcess, photo
from tests.waiting import PROMPT_SECONDS, wait_until_gone


def run(filled: FilledBucket, flow: Flow[..., Any] = backfill, **parameters: Any) -> State[Any]:
    """Run the flow in this process; return its final Prefect state."""
    state = flow(**{"bucket": filled.name, **parameters, "return_state": True})
    return cast("State[Any]", state)


def test_every_object_gets_its_row_and_all_counts_agree(bucket: FilledBucket) -> None:
    bucket.fill(40)
    bucket.put("broken.jpg", photo(1)[:300])
    bucket.put("empty.png", b"", "image/png")
    bucket.put("notes.txt", b"not an image at all", "text/plain")
    state = run(bucket)

    assert state.is_completed()
    assert state.message
    assert state.message.startswith("40 enriched, 2 failed, 1 unsupported of 43 in ")
    rows = bucket.rows()
    assert len(rows) == 43
    assert rows["photos/00001.jpg"]["width"] == 64
    assert rows["photos/00001.jpg"]["height"] == 48
    assert rows["photos/00001.jpg"]["blurhash"]
    assert rows["broken.jpg"]["error_code"] == "truncated"
    assert rows["empty.png"]["error_code"] == "empty"
    assert rows["notes.txt"]["status"] == "unsupported"

    record = bucket.latest_run()
    assert record["status"] == "completed"
    assert record["trigger"] == "manual"
    assert record["total_files"] == record["processed_files"] == 43
    assert (record["succeeded"], record["failed"], record["skipped"]) == (40, 2, 1)
    assert record["finished_at"] >= record["started_at"]
    snapshot = open_snapshot(record["snapshot_path"], resources.bucket).frame()
    assert sorted(snapshot["path"]) == sorted(rows)
    assert snapshot["status"].value_counts().to_dict() == {
        "enriched": 40,
        "failed": 2,
        "unsupported": 1,
    }
    assert record["bytes_read"] == snapshot["bytes_read"].sum()


def test_a_second_run_downloads_nothing_and_a_changed_object_is_done_again(
    bucket: FilledBucket,
) -> None:
    bucket.fill(12)
    run(bucket)
    before = bucket.rows()
    bucket.downloads()

    state = run(bucket)
    assert state.is_completed()
    assert state.message == "Nothing to do"
    assert bucket.downloads() == {}

    bucket.put("photos/00003.jpg", photo(99, (80, 20)))
    run(bucket)
    assert bucket.downloads() == {"photos/00003.jpg": 1}
    after = bucket.rows()
    assert (after["photos/00003.jpg"]["width"], after["photos/00003.jpg"]["height"]) == (80, 20)
    assert after["photos/00003.jpg"]["attempts"] == 1
    unchanged = before.keys() - {"photos/00003.jpg"}
    assert {path: after[path] for path in unchanged} == {path: before[path] for path in unchanged}


def test_garbage_is_collected_seldom_while_a_run_works_and_as_before_after_it(
    bucket: FilledBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.fill(2)
    before = gc.get_threshold()
    seen: list[tuple[int, bool]] = []
    move = Progress.move

    def look(progress: Progress) -> None:
        seen.append((gc.get_threshold()[0], gc.get_freeze_count() > 0))
        move(progress)

    monkeypatch.setattr(Progress, "move", look)
    assert run(bucket).is_completed()
    assert seen
    assert all(threshold > 10 * before[0] and is_frozen for threshold, is_frozen in seen)
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def test_a_dry_run_counts_and_touches_nothing(bucket: FilledBucket) -> None:
    bucket.fill(5)
    state = run(bucket, dry_run=True)
    assert state.is_completed()
    assert (state.message or "").startswith("Dry run: 5 objects to enrich")
    assert bucket.rows() == {}
    assert bucket.downloads() == {}
    assert bucket.query("select from public.media_enrich_runs where bucket = $1", bucket.name) == []


def test_limit_is_honoured_exactly_and_the_next_run_goes_on(bucket: FilledBucket) -> None:
    bucket.fill(9)
    assert (run(bucket, limit=4).message or "").startswith("4 enriched of 4 in")
    assert sorted(bucket.rows()) == [f"photos/0000{i}.jpg" for i in range(1, 5)]
    assert bucket.query(
        "select objects from public.media_totals"
        " where bucket = $1 and scope = '' and facet = 'pending' and value = 'missing'",
        bucket.name,
    ) == [{"objects": 5}]
    assert (run(bucket, limit=100).message or "").startswith("5 enriched of 5 in")
    assert len(bucket.rows()) == 9


def test_a_prefix_is_literal(bucket: FilledBucket) -> None:
    for path in ("a_b/1.jpg", "axb/1.jpg", "a_b/2.jpg"):
        bucket.put(path, photo(1))
    run(bucket, prefix="a_")
    assert sorted(bucket.rows()) == ["a_b/1.jpg", "a_b/2.jpg"]


def test_a_range_is_what_comes_after_a_path_up_to_another(bucket: FilledBucket) -> None:
    bucket.fill(7)
    run(bucket, after="photos/00002.jpg", until="photos/00004.jpg")
    assert sorted(bucket.rows()) == ["photos/00003.jpg", "photos/00004.jpg"]
    bucket.delete("photos/00003.jpg")
    assert run(bucket, until="photos/00002.jpg", limit=1).is_completed()
    assert bucket.rows()["photos/00003.jpg"]["gone_at"] is None, "it is in another range"
    assert len(bucket.rows()) == 3


def test_a_header_run_reads_a_part_and_a_full_run_deepens_it(bucket: FilledBucket) -> None:
    bucket.put("large.jpg", photo(3, (3000, 2000)) + b"\0" * 500_000)
    run(bucket, depth="header")
    shallow = bucket.rows()["large.jpg"]
    assert (shallow["depth"], shallow["width"], shallow["sha256"]) == ("header", 3000, None)
    assert bucket.latest_run()["bytes_read"] < 400_000
    run(bucket)
    deep = bucket.rows()["large.jpg"]
    assert (deep["depth"], deep["width"]) == ("full", 3000)
    assert deep["sha256"]
    assert deep["blurhash"]


def test_permanent_failures_are_left_alone_until_asked_for(bucket: FilledBucket) -> None:
    bucket.put("broken.jpg", photo(1)[:300])
    run(bucket)
    bucket.downloads()
    run(bucket)
    assert bucket.downloads() == {}
    run(bucket, mode="failed")
    assert bucket.downloads() == {"broken.jpg": 1}
    assert bucket.rows()["broken.jpg"]["attempts"] == 2


def test_too_many_failures_fail_the_run_and_say_why(bucket: FilledBucket) -> None:
    for i in range(12):
        bucket.put(f"{i}.jpg", photo(i)[:300])
    state = run(bucket)
    assert state.is_failed()
    assert (
        "100% failed, more than the 10% allowed (12 of the 12 objects processed so far: "
        "12 truncated)" in (state.message or "")
    )
    record = bucket.latest_run()
    assert record["status"] == "failed"
    assert "12 truncated" in record["error"]
    assert len(bucket.rows()) == 12


def test_a_rerun_of_the_rest_is_judged_as_one_run_over_everything(bucket: FilledBucket) -> None:
    bucket.fill(130, folder="done")
    assert run(bucket, limit=130).is_completed()
    for number in range(12):
        bucket.put(f"rest/{number}.jpg", photo(number)[:300])
    state = run(bucket)
    assert state.is_completed(), state.message
    assert bucket.run(state.state_details.flow_run_id)["failed"] == 12


def test_a_missing_bucket_is_a_clear_failure(bucket: FilledBucket) -> None:
    bucket.name = "no-such-bucket"
    state = run(bucket)
    assert state.is_failed()
    assert "no bucket 'no-such-bucket'" in (state.message or "")
    assert bucket.latest_run()["status"] == "failed"


def test_all_names_that_storage_allows_and_sizes_at_both_ends(bucket: FilledBucket) -> None:
    names = [
        "with space.jpg",
        "it's (1) & $2 = @; : + , ?.jpg",
        "a//b.jpg",
        "!exclaim*.jpg",
        "x" * 251 + ".jpg",
        "folder/" * 145 + "12345.jpg",  # 1,024 bytes
    ]
    for i, name in enumerate(names):
        bucket.put(name, photo(i))
    bucket.put("empty.bin", b"", "application/octet-stream")
    bucket.put("big.bin", b"\x00\x01" * 50_000_000, "application/octet-stream")
    state = run(bucket)
    assert state.is_completed()
    rows = bucket.rows()
    assert sorted(rows) == sorted([*names, "empty.bin", "big.bin"])
    assert all(rows[name]["status"] == "enriched" for name in names)
    assert rows["big.bin"]["status"] == "unsupported"
    assert rows["big.bin"]["size_bytes"] == 100_000_000


def test_objects_deleted_since_are_marked_gone(bucket: FilledBucket) -> None:
    bucket.fill(3)
    run(bucket)
    bucket.delete("photos/00002.jpg")
    run(bucket)
    rows = bucket.rows()
    assert rows["photos/00002.jpg"]["gone_at"] is not None
    assert rows["photos/00001.jpg"]["gone_at"] is None


def test_bytes_that_are_missing_are_looked_for_once_and_read_when_they_are_back(
    bucket: FilledBucket,
) -> None:
    bucket.fill(12)
    lost = "photos/00007.jpg"
    bucket.lose(lost)
    run(bucket)
    row = bucket.rows()[lost]
    assert (row["status"], row["error_code"], row["attempts"]) == ("failed", "bytes_missing", 1)
    assert "Upload it again" in row["error_message"]

    bucket.downloads()
    run(bucket)
    assert bucket.downloads() == {}, "nothing is left to do, and it is not tried again"
    bucket.put(lost, photo(7))
    run(bucket)
    row = bucket.rows()[lost]
    assert (row["status"], row["width"], row["attempts"]) == ("enriched", 64, 2)


def test_what_was_read_before_writing_failed_is_not_read_again(bucket: FilledBucket) -> None:
    bucket.fill(60)
    bucket.block_writes()
    try:
        assert run(bucket).is_failed()
    finally:
        bucket.allow_writes()
    assert sum(bucket.downloads().values()) == 60
    assert bucket.rows() == {}

    state = run(bucket)
    assert state.is_completed()
    assert bucket.downloads() == {}
    assert len(bucket.rows()) == 60
    assert bucket.latest_run()["bytes_read"] == 0


def test_postgrest_going_away_while_writing_fails_the_run_and_loses_nothing(
    bucket: FilledBucket,
    migrated_stack: LocalStack,
    start_flow: Callable[..., FlowProcess],
    tmp_path: Path,
) -> None:
    """PostgREST stops after planning, while objects are being read, and stays away."""
    bucket.fill(300)
    flow = start_flow(bucket=bucket.name)
    flow.wait_for_run_id()
    bucket.wait_for_downloads(50)
    with migrated_stack.without_rest():
        exit_code, last = flow.result()
    assert exit_code == 1, last
    first = bucket.downloads()
    assert set(first.values()) == {1}

    assert run(bucket).is_completed()
    again = bucket.downloads()
    assert not (first.keys() & again.keys())
    assert len(bucket.rows()) == 300


RUNNERS = pytest.mark.parametrize("runner", ["threads", "processes"])


@RUNNERS
def test_killed_in_the_middle_and_started_again(
    bucket: FilledBucket, start_flow: Callable[..., FlowProcess], runner: str
) -> None:
    bucket.fill(1_500)
    flow = start_flow(SLOWLY | {"MEDIA_ENRICHER_TASK_RUNNER": runner}, bucket=bucket.name)
    flow.wait_for_run_id()
    bucket.wait_for_downloads(700)
    children = flow.kill()
    assert children
    wait_until_gone(children)
    first = bucket.downloads()
    assert 700 <= len(first) < 1_500
    written = set(bucket.rows())

    assert run(bucket).is_completed()
    again = bucket.downloads()
    assert not (written & again.keys()), "what was written is not read again"
    resumed = findings(bucket)
    assert len(resumed) == 1_500
    bucket.query(
        "update public.media_enrich_runs set started_at = now() - interval '2 minutes',"
        " heartbeat_at = now() - interval '2 minutes' where bucket = $1 and status = 'running'",
        bucket.name,
    )
    settle_snapshots()  # as the sweep does, once the killed run has been silent for long
    for each in bucket.runs():
        bucket.assert_accounts_agree(each["id"])
    assert run(bucket, mode="all").is_completed()
    assert findings(bucket) == resumed, "an undisturbed run finds the same"


def findings(bucket: FilledBucket) -> dict[str, dict[str, Any]]:
    """The rows, less what differs from run to run."""
    of_the_run = {"run_id", "attempts", "enriched_at", "created_at", "updated_at"}
    return {
        path: {name: value for name, value in row.items() if name not in of_the_run}
        for path, row in bucket.rows().items()
    }


def test_two_backfills_at_once(
    bucket: FilledBucket, start_flow: Callable[..., FlowProcess]
) -> None:
    bucket.fill(400)
    flows = [start_flow(bucket=bucket.name) for _ in range(2)]
    ids = [flow.wait_for_run_id() for flow in flows]
    assert [flow.result()[0] for flow in flows] == [0, 0]
    assert len(bucket.rows()) == 400
    records = [bucket.run(run_id) for run_id in ids]
    assert sum(record["processed_files"] for record in records) >= 400
    for record in records:
        # What one has counted, the other may have done before it was planned.
        assert record["succeeded"] == record["processed_files"] == record["total_files"] <= 400
        assert record["failed"] == record["skipped"] == 0
        if record["processed_files"]:
            snapshot = open_snapshot(record["snapshot_path"], resources.bucket)
            assert len(snapshot.frame()) == record["processed_files"]


@RUNNERS
def test_a_cancellation_asked_of_prefect_stops_within_seconds(
    bucket: FilledBucket, start_flow: Callable[..., FlowProcess], runner: str
) -> None:
    bucket.fill(1_500)
    flow = start_flow(SLOWLY | {"MEDIA_ENRICHER_TASK_RUNNER": runner}, bucket=bucket.name)
    run_id = flow.wait_for_run_id()
    bucket.wait_for_downloads(100)
    assert flow.cancel_through_prefect() < PROMPT_SECONDS
    exit_code, last = flow.result()
    assert exit_code == 130
    assert last["state"] == "CANCELLED"
    record = bucket.run(run_id)
    assert record["status"] == "cancelled"
    assert record["finished_at"]
    assert run(bucket).is_completed()
    assert len(bucket.rows()) == 1_500


def test_the_process_runner_gives_the_same_rows(
    bucket: FilledBucket, start_flow: Callable[..., FlowProcess]
) -> None:
    bucket.fill(50)
    assert run(bucket).is_completed()
    keys = ("width", "height", "sha256", "blurhash", "phash", "palette", "status")
    by_threads = {path: [row[key] for key in keys] for path, row in bucket.rows().items()}
    flow = start_flow({"MEDIA_ENRICHER_TASK_RUNNER": "processes"}, bucket=bucket.name, mode="all")
    exit_code, last = flow.result()
    assert exit_code == 0, last
    by_processes = {path: [row[key] for key in keys] for path, row in bucket.rows().items()}
    assert by_processes == by_threads


def test_the_form_in_the_prefect_ui_explains_itself() -> None:
    properties = backfill.parameters.properties
    assert set(properties) == {
        *("bucket", "prefix", "limit", "mode", "depth", "max_bytes", "dry_run", "after", "until")
    }
    assert all(len(described["description"]) > 20 for described in properties.values())


@pytest.mark.parametrize(
    "parameters",
    [{"bucket": ""}, {"bucket": "a/b"}, {"limit": 0}, {"mode": "everything"}, {"depth": "deep"}],
)
def test_bad_parameters_are_refused_before_anything_runs(
    bucket: FilledBucket, parameters: dict[str, Any]
) -> None:
    state = run(bucket, **parameters)
    assert state.is_failed()
    (name,) = parameters
    assert name in (state.message or "")
    assert bucket.rows() == {}


def test_the_snapshot_is_hive_partitioned_parquet(
    bucket: FilledBucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MEDIA_ENRICHER_SNAPSHOT", str(tmp_path))
    settings.cache_clear()
    bucket.fill(3)
    run(bucket)
    record = bucket.latest_run()
    part = min(tmp_path.rglob("*.parquet"))
    folders = part.relative_to(tmp_path).parts
    assert folders[0] == f"bucket={bucket.name}"
    assert folders[1] == f"date={record['started_at']:%Y-%m-%d}"
    assert folders[2:] == (f"run_id={record['id']}", "part-00000.parquet")
    assert pq.read_metadata(part).row_group(0).column(0).compression == "ZSTD"


def sizes(bucket: FilledBucket) -> dict[str, int]:
    found = bucket.query(
        "select name, (metadata ->> 'size')::bigint as size from storage.objects"
        " where bucket_id = $1 order by name",
        bucket.name,
    )
    return {row["name"]: row["size"] for row in found}


def test_a_budget_of_bytes_ends_the_run_and_the_next_one_goes_on(bucket: FilledBucket) -> None:
    bucket.fill(9)
    bucket.put("photos/00004.jpg", photo(4, (900, 700)))
    size = sizes(bucket)
    large = size["photos/00004.jpg"]
    budget = large + size["photos/00001.jpg"] // 2
    first = run(bucket, max_bytes=budget)
    assert first.is_completed()
    assert (first.message or "").endswith(f"; stopped by max_bytes = {budget:,}")
    record = bucket.latest_run()
    assert (record["max_bytes"], record["stopped_by"]) == (budget, "max_bytes")
    assert sorted(bucket.rows()) == [f"photos/0000{i}.jpg" for i in (1, 2, 3)]
    assert budget - large < record["bytes_read"] <= budget
    assert record["total_files"] == 9

    messages = [run(bucket, max_bytes=budget).message or "" for _ in range(2)]
    assert "left out" not in messages[0]
    assert run(bucket).is_completed()
    assert len(bucket.rows()) == 9
    assert all(count == 1 for count in bucket.downloads().values()), "nothing is read twice"
    assert bucket.latest_run()["stopped_by"] is None


def test_an_object_that_needs_more_than_the_whole_budget_is_left_out_and_named(
    bucket: FilledBucket,
) -> None:
    bucket.fill(3)
    bucket.put("a-poster.jpg", photo(4, (900, 700)))
    state = run(bucket, max_bytes=sizes(bucket)["a-poster.jpg"] - 1)
    assert state.is_completed()
    assert "left out 1 of which each needs more than max_bytes" in (state.message or "")
    assert "the first is 'a-poster.jpg'" in (state.message or "")
    assert "stopped" not in (state.message or "")
    assert sorted(bucket.rows()) == [f"photos/0000{i}.jpg" for i in (1, 2, 3)]
    assert bucket.latest_run()["stopped_by"] == "max_bytes"


def test_what_is_in_the_cache_costs_no_budget(bucket: FilledBucket) -> None:
    bucket.fill(6)
    whole = sum(sizes(bucket).values())
    bucket.block_writes()
    try:
        assert run(bucket, max_bytes=whole).is_failed()
    finally:
        bucket.allow_writes()
    bucket.downloads()
    assert run(bucket, max_bytes=whole // 2).is_completed()
    assert bucket.downloads() == {}
    assert len(bucket.rows()) == 6
    assert bucket.latest_run()["stopped_by"] is None
