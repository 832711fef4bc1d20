"""The flow for single objects: it does what was asked for, all of it, whatever interrupts it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import State

from flows.enrich_object import enrich_object
from media_enricher.models import FlowName
from media_enricher.orchestration import resources
from media_enricher.run_requests import (
    Invocation,
    Invoker,
    RequestedObject,
    RequestedPage,
    RequestLimits,
    RequestOutcome,
    RequestRoute,
    Reservation,
)
from media_enricher.supabase.requested_objects import RequestedObjects
from media_enricher.supabase.requests import RunRequests
from tests.flows import test_backfill
from tests.flows.conftest import SLOWLY, FilledBucket, FlowProcess, photo
from tests.waiting import PROMPT_SECONDS, wait_until_gone

TENANT = "0b6f0c9e-58a3-4d0c-8a51-5b7a9a1f1f10"


def ask(bucket: FilledBucket, *paths: str, forced: bool = False, prefix: str = "") -> Reservation:
    """Ask for objects, as the gateway does for a webhook."""
    asked = Invocation(
        route=RequestRoute.ENRICH,
        flow=FlowName.ENRICH_OBJECT,
        bucket=bucket.name,
        prefix=prefix,
        objects=[RequestedObject(path=path, is_forced=forced) for path in paths],
        caller=Invoker(role="webhook"),
    )
    return RunRequests(resources.supabase()).request(asked, RequestLimits(silence_seconds=60))


def run(bucket: FilledBucket, **parameters: Any) -> State[Any]:
    return test_backfill.run(bucket, enrich_object, **parameters)


def left(bucket: FilledBucket) -> int:
    """How many objects are still asked for."""
    return len(still_asked_for(bucket))


def still_asked_for(bucket: FilledBucket) -> set[str]:
    """The paths of the objects that are still to be done."""
    found = bucket.query(
        "select path from media_enricher.requested_objects where bucket = $1", bucket.name
    )
    return {row["path"] for row in found}


def test_it_does_what_was_asked_for_and_nothing_else(bucket: FilledBucket) -> None:
    bucket.fill(5)
    ask(bucket, "photos/00002.jpg", "photos/00004.jpg")
    state = run(bucket)
    assert state.is_completed()
    assert (state.message or "").startswith("2 enriched of 2 in ")
    rows = bucket.rows()
    assert sorted(rows) == ["photos/00002.jpg", "photos/00004.jpg"]
    assert rows["photos/00002.jpg"]["blurhash"]
    assert left(bucket) == 0
    record = bucket.latest_run()
    assert (record["flow"], record["status"]) == ("enrich-object", "completed")
    assert record["total_files"] == record["succeeded"] == 2


def test_its_end_lets_the_next_object_have_a_run_of_its_own(bucket: FilledBucket) -> None:
    bucket.fill(1)
    assert ask(bucket, "photos/00001.jpg").is_new
    assert not ask(bucket, "photos/00001.jpg").is_new
    run(bucket)
    assert ask(bucket, "photos/00001.jpg").is_new


def test_what_is_up_to_date_is_read_again_only_if_it_must_be(bucket: FilledBucket) -> None:
    bucket.fill(1)
    ask(bucket, "photos/00001.jpg")
    run(bucket)
    bucket.downloads()

    ask(bucket, "photos/00001.jpg")
    assert run(bucket).message == "Nothing to do"
    assert bucket.downloads() == {}
    assert left(bucket) == 0

    ask(bucket, "photos/00001.jpg", forced=True)
    assert (run(bucket).message or "").startswith("1 enriched of 1")
    assert bucket.downloads() == {"photos/00001.jpg": 1}


def test_the_row_of_a_deleted_object_says_so(bucket: FilledBucket) -> None:
    bucket.fill(2)
    ask(bucket, "photos/00001.jpg", "photos/00002.jpg")
    run(bucket)
    bucket.delete("photos/00001.jpg")
    ask(bucket, "photos/00001.jpg", "never-there.jpg")
    assert run(bucket).is_completed()
    rows = bucket.rows()
    assert rows["photos/00001.jpg"]["gone_at"]
    assert not rows["photos/00002.jpg"]["gone_at"]
    assert "never-there.jpg" not in rows
    assert left(bucket) == 0
    failures = resources.asset_table().failures_by_reason(str(bucket.latest_run()["id"]))
    assert [(each.error_code, each.objects, each.path) for each in failures] == [
        ("not_found", 2, "never-there.jpg")
    ]


def test_nothing_is_started_for_objects_that_need_nothing(
    bucket: FilledBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never() -> None:
        raise AssertionError("the engine was started")

    monkeypatch.setattr(resources, "engine", never)
    monkeypatch.setattr(resources, "close_engine", lambda: None)
    ask(bucket, "never-there.jpg")
    assert run(bucket).message == "Nothing to do"
    assert left(bucket) == 0


def test_a_tenant_s_run_does_what_was_asked_for_in_their_folder(bucket: FilledBucket) -> None:
    path = f"{TENANT}/a.jpg"
    bucket.put(path, photo(1))
    bucket.put("b.jpg", photo(2))
    ask(bucket, "b.jpg")
    ask(bucket, path, prefix=f"{TENANT}/")
    run(bucket, prefix=f"{TENANT}/")
    assert list(bucket.rows()) == [path]
    assert left(bucket) == 1
    assert str(bucket.latest_run()["tenant_id"]) == TENANT


def test_what_is_asked_for_meanwhile_is_done_by_the_same_run(
    bucket: FilledBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.fill(3)
    later = iter(["photos/00002.jpg", "photos/00003.jpg"])
    complete = RequestedObjects.complete

    def ask_then_complete(self: RequestedObjects, page: RequestedPage, run_id: str) -> int:
        if path := next(later, None):
            assert not ask(bucket, path).is_new
        return complete(self, page, run_id)

    monkeypatch.setattr(RequestedObjects, "complete", ask_then_complete)
    ask(bucket, "photos/00001.jpg")
    assert (run(bucket).message or "").startswith("3 enriched of 3")
    assert len(bucket.rows()) == 3
    assert left(bucket) == 0


def test_an_object_that_changes_while_it_is_done_is_done_again(
    bucket: FilledBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("a.jpg", photo(1))
    complete = RequestedObjects.complete
    changes = iter([photo(2, (80, 20))])

    def change_then_complete(self: RequestedObjects, page: RequestedPage, run_id: str) -> int:
        if change := next(changes, None):
            bucket.put("a.jpg", change)
            ask(bucket, "a.jpg")
        return complete(self, page, run_id)

    monkeypatch.setattr(RequestedObjects, "complete", change_then_complete)
    ask(bucket, "a.jpg")
    assert run(bucket).is_completed()
    assert bucket.rows()["a.jpg"]["width"] == 80


def test_a_run_killed_amid_its_work_loses_nothing(
    bucket: FilledBucket, start_flow: Callable[..., FlowProcess]
) -> None:
    bucket.fill(1_200)
    paths = [f"photos/{i:05}.jpg" for i in range(1, 1_201)]
    asked = ask(bucket, *paths)
    assert asked.request
    flow = start_flow(SLOWLY, flow="enrich-object", bucket=bucket.name)
    RunRequests(resources.supabase()).start(asked.request.id, flow.wait_for_run_id())
    bucket.wait_for_downloads(300)
    children = flow.kill()
    wait_until_gone(children)
    assert left(bucket) > 0
    assert set(bucket.rows()) | still_asked_for(bucket) == set(paths)

    # Its row still says running. Once it has been silent for too long, whoever asks gets a new run.
    assert ask(bucket, paths[0]).outcome is RequestOutcome.UNDER_WAY
    bucket.query(
        "update public.media_enrich_runs set started_at = now() - interval '2 minutes',"
        " heartbeat_at = now() - interval '2 minutes' where bucket = $1",
        bucket.name,
    )
    assert ask(bucket, paths[0]).is_new
    assert run(bucket).is_completed()
    assert set(bucket.rows()) == set(paths)
    assert {row["status"] for row in bucket.rows().values()} == {"enriched"}
    assert left(bucket) == 0
    for each in bucket.runs():
        bucket.assert_accounts_agree(each["id"])


def test_a_cancelled_run_leaves_the_rest_for_the_next(
    bucket: FilledBucket, start_flow: Callable[..., FlowProcess]
) -> None:
    bucket.fill(1_500)
    ask(bucket, *(f"photos/{i:05}.jpg" for i in range(1, 1_501)))
    flow = start_flow(SLOWLY, flow="enrich-object", bucket=bucket.name)
    run_id = flow.wait_for_run_id()
    bucket.wait_for_downloads(100)
    assert flow.cancel_through_prefect() < PROMPT_SECONDS
    assert flow.result()[0] == 130
    assert bucket.run(run_id)["status"] == "cancelled"
    assert 0 < left(bucket) <= 1_500


def test_a_bucket_that_nobody_asked_about_is_nothing_to_do(bucket: FilledBucket) -> None:
    bucket.fill(2)
    started = time.monotonic()
    assert run(bucket, prefix=f"{uuid4()}/").message == "Nothing to do"
    assert time.monotonic() - started < PROMPT_SECONDS
    assert bucket.rows() == {}
