"""Requesting runs and single objects as the gateway and the flow do: through PostgREST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from supabase import Client

from media_enricher.models import (
    ENRICHER_VERSION,
    AssetStatus,
    Depth,
    ErrorCode,
    FlowName,
    MediaAsset,
    Mode,
    RunStatus,
    Trigger,
)
from media_enricher.run_requests import (
    Invocation,
    Invoker,
    Refused,
    RequestedObject,
    RequestLimits,
    RequestOutcome,
    RequestRoute,
)
from media_enricher.supabase.assets import AssetTable
from media_enricher.supabase.errors import SupabaseError
from media_enricher.supabase.requested_objects import RequestedObjects
from media_enricher.supabase.requests import RunRequests
from media_enricher.supabase.runs import RunTable
from tests.conftest import Put
from tests.recording import record

LIMITS = RequestLimits(silence_seconds=60)


def backfill(bucket: str, **changes: Any) -> Invocation:
    asked: dict[str, Any] = {"caller": Invoker(role="authenticated", user_id=str(uuid4()))}
    return Invocation(
        route=RequestRoute.BACKFILL, flow=FlowName.BACKFILL, bucket=bucket, **asked | changes
    )


def enrich(bucket: str, *paths: str, is_forced: bool = False) -> Invocation:
    return Invocation(
        route=RequestRoute.ENRICH,
        flow=FlowName.ENRICH_OBJECT,
        bucket=bucket,
        objects=[RequestedObject(path=path, is_forced=is_forced) for path in paths],
        trigger=Trigger.EVENT,
        caller=Invoker(role="webhook"),
    )


def test_a_request_becomes_a_run(
    run_requests: RunRequests, runs: RunTable, make_bucket: Callable[[], str]
) -> None:
    bucket, run_id = make_bucket(), str(uuid4())
    asked = backfill(bucket, prefix="a/", max_files=9, mode=Mode.STALE, depth=Depth.HEADER)
    reserved = run_requests.request(asked, LIMITS)
    assert (reserved.outcome, reserved.is_new) == (RequestOutcome.QUEUED, True)
    assert reserved.invocation_id == asked.invocation_id
    assert reserved.request is not None

    run = run_requests.start(reserved.request.id, run_id, reserved.invocation_id)

    assert run == runs.get(run_id)
    assert (run.status, run.trigger, run.flow) == (
        RunStatus.QUEUED,
        Trigger.HTTP,
        FlowName.BACKFILL,
    )
    assert (run.prefix, run.max_files, run.mode, run.depth) == ("a/", 9, "stale", "header")
    assert run.requested_by == asked.caller.user_id
    found = run_requests.request(backfill(bucket, prefix="a/"), LIMITS)
    assert found.outcome is RequestOutcome.UNDER_WAY
    assert found.run == run
    run_requests.release(reserved.request.id)
    assert run_requests.request(backfill(bucket, prefix="a/"), LIMITS).is_new


def test_text_that_no_column_holds_is_cleaned(
    run_requests: RunRequests, make_bucket: Callable[[], str]
) -> None:
    odd = "a\x00b\ud800"
    refused = run_requests.request(
        backfill(
            odd,
            prefix=odd,
            mode=odd,
            idempotency_key=odd,
            user_agent=odd,
            ip_address=odd,
            max_files=10**30,
            objects=[RequestedObject(path=odd)],
            caller=Invoker(role=odd, user_id=odd, tenant_id=odd),
            refusal=Refused(http_status=422, reason=odd),
        ),
        LIMITS,
    )
    assert refused.outcome is RequestOutcome.REFUSED
    run_requests.correct_audit(refused.invocation_id, 503, odd)
    taken = run_requests.request(
        backfill(make_bucket(), prefix=odd, idempotency_key=odd, user_agent=odd), LIMITS
    )
    assert taken.request is not None
    assert taken.request.prefix == "ab\N{REPLACEMENT CHARACTER}"


def test_a_limit_says_when_to_come_again(
    run_requests: RunRequests, make_bucket: Callable[[], str]
) -> None:
    limits = RequestLimits(requests_per_minute=1, active_runs=3, silence_seconds=60)
    asked = backfill(make_bucket(), is_dry_run=True)
    assert run_requests.request(asked, limits).outcome is RequestOutcome.COUNTED
    limited = run_requests.request(backfill("b", caller=asked.caller), limits)
    assert limited.outcome is RequestOutcome.RATE_LIMITED
    assert limited.retry_after is not None
    assert 55 <= limited.retry_after <= 60


def test_asking_again_after_a_lost_answer_makes_one_request(
    run_requests: RunRequests, client: Client, make_bucket: Callable[[], str]
) -> None:
    """The retries of `call` are such: the same invocation, sent twice."""
    limits = RequestLimits(requests_per_minute=1, silence_seconds=60)
    asked = backfill(make_bucket(), idempotency_key="key")
    first, second = (run_requests.request(asked, limits) for _ in range(2))
    assert (first.outcome, second.outcome) == (RequestOutcome.QUEUED, RequestOutcome.QUEUED)
    assert first.request == second.request
    assert [first.is_new, second.is_new] == [True, False]


def test_an_unknown_bucket_is_told(run_requests: RunRequests) -> None:
    asked = run_requests.request(backfill("no-such-bucket"), LIMITS)
    assert (asked.outcome, asked.request) == (RequestOutcome.UNKNOWN_BUCKET, None)


def test_a_start_of_no_request_is_told(run_requests: RunRequests) -> None:
    with pytest.raises(SupabaseError, match="there is no request") as failed:
        run_requests.start(str(uuid4()), str(uuid4()))
    assert failed.value.code is ErrorCode.REJECTED


def test_single_objects_from_the_request_to_the_end_of_their_run(
    run_requests: RunRequests,
    assets: AssetTable,
    client: Client,
    make_bucket: Callable[[], str],
    put: Put,
) -> None:
    bucket, run_id = make_bucket(), str(uuid4())
    for path in ("new.jpg", "known.jpg", "forced.jpg"):
        put(bucket, path, b"pixels", "image/jpeg")
    reserved = run_requests.request(enrich(bucket, "new.jpg", "known.jpg", "gone.jpg"), LIMITS)
    run_requests.request(enrich(bucket, "forced.jpg", is_forced=True), LIMITS)
    assert reserved.request is not None
    run = run_requests.start(reserved.request.id, run_id, reserved.invocation_id)
    assert (run.flow, run.trigger) == (FlowName.ENRICH_OBJECT, Trigger.EVENT)
    requested = RequestedObjects(client, bucket, "")
    record(assets,
        str(uuid4()),
        [
            MediaAsset(
                bucket=bucket, path=each.path, etag=each.etag, size_bytes=each.size_bytes,
                declared_content_type=each.declared_content_type, depth=Depth.FULL,
                enricher_version=ENRICHER_VERSION, status=AssetStatus.ENRICHED,
            )
            for each in requested.page(Depth.FULL).pending
            if each.path != "new.jpg"
        ],
    )  # fmt: skip

    page = requested.page(Depth.FULL)

    assert {each.path for each in page.pending} == {"new.jpg", "forced.jpg"}
    assert {each.bucket for each in page.pending} == {bucket}
    assert set(page.paths) == {"new.jpg", "known.jpg", "gone.jpg", "forced.jpg"}
    assert not requested.finish(run_id)
    run_requests.request(enrich(bucket, "new.jpg"), LIMITS)
    assert requested.complete(page, run_id) == 3
    page = requested.page(Depth.FULL)
    assert page.paths == ["new.jpg"]
    assert requested.complete(page, run_id) == 1
    empty = requested.page(Depth.FULL)
    assert (empty.pending, empty.paths) == ([], [])
    assert requested.complete(empty, run_id) == 0
    assert requested.finish(run_id)
    assert run_requests.request(enrich(bucket, "new.jpg"), LIMITS).is_new
