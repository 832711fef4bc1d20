"""The table of runs as the flow and its hooks use it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from media_enricher.models import Depth, EnrichRun, ErrorCode, FlowName, Mode, RunStatus, Trigger
from media_enricher.supabase.errors import SupabaseError
from media_enricher.supabase.runs import RunTable


def test_a_run_from_start_to_end(runs: RunTable) -> None:
    run_id, start = str(uuid4()), datetime(2030, 1, 2, tzinfo=UTC)
    assert runs.get(run_id) is None
    runs.record(
        run_id, status=RunStatus.RUNNING, started_at=start, bucket="photos", prefix="a/",
        max_files=None, mode=Mode.STALE, depth=Depth.HEADER, trigger=Trigger.SCHEDULE,
        restart=False,
    )  # fmt: skip
    runs.record(
        run_id, total_files=4, processed_files=3, succeeded=1, failed=1, skipped=1, bytes_read=5
    )
    ended = runs.record(run_id, status=RunStatus.FAILED, error="too much\x00 \ud800failed")
    assert ended == runs.get(run_id)
    assert ended == EnrichRun(
        id=run_id, bucket="photos", prefix="a/", mode=Mode.STALE, depth=Depth.HEADER,
        trigger=Trigger.SCHEDULE, status=RunStatus.FAILED, total_files=4, processed_files=3,
        succeeded=1, failed=1, skipped=1, bytes_read=5, error="too much �failed",
        started_at=start, finished_at=ended.finished_at, heartbeat_at=ended.heartbeat_at,
        created_at=ended.created_at, updated_at=ended.updated_at,
    )  # fmt: skip
    assert ended.finished_at is not None


def test_the_newest_come_first(runs: RunTable) -> None:
    start, bucket = datetime(2030, 1, 1, tzinfo=UTC), str(uuid4())
    ids = [str(uuid4()) for _ in range(4)]
    for number, run_id in enumerate(ids):
        runs.record(
            run_id, bucket=bucket, status="running", started_at=start + timedelta(days=number)
        )
    assert [run.id for run in runs.recent(3, bucket=bucket)] == ids[:0:-1]


def test_runs_are_narrowed_to_a_tenant_a_caller_a_bucket_and_a_status(runs: RunTable) -> None:
    tenant, caller, bucket = str(uuid4()), str(uuid4()), f"bucket {uuid4()}, (a)"
    of_tenant, of_caller, of_bucket, ended = (str(uuid4()) for _ in range(4))
    runs.record(of_tenant, bucket="b", tenant_id=tenant)
    runs.record(of_caller, bucket="b", tenant_id=tenant, requested_by=caller)
    runs.record(of_bucket, bucket=bucket, flow=FlowName.ENRICH_OBJECT)
    runs.record(ended, bucket=bucket, status=RunStatus.COMPLETED)

    def found(**narrow: Any) -> set[str]:
        return {run.id for run in runs.recent(**narrow)}

    assert found(tenant_id=tenant) == {of_tenant, of_caller}
    assert found(tenant_id=tenant, requested_by=caller) == {of_caller}
    assert found(bucket=bucket) == {of_bucket, ended}
    assert found(bucket=bucket, status=RunStatus.COMPLETED) == {ended}
    assert found(tenant_id=tenant, bucket=bucket) == set()
    assert found(bucket="b\x00", tenant_id=tenant) == {of_tenant, of_caller}
    assert [run.flow for run in runs.recent(bucket=bucket, status=RunStatus.QUEUED)] == [
        FlowName.ENRICH_OBJECT
    ]


def test_a_run_nobody_knows_is_told(runs: RunTable) -> None:
    with pytest.raises(SupabaseError, match="must name its bucket") as failed:
        runs.record(str(uuid4()), status=RunStatus.RUNNING)
    assert failed.value.code is ErrorCode.REJECTED
