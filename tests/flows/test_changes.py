"""The change feed over a real Storage: whatever is killed, in the end all rows are right.

`make bench-changes ARGS=--kills` does the same at large, with servers that are killed at random.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State

from flows.process_queue import process_queue
from media_enricher import change_feed
from media_enricher.models import RunStatus
from media_enricher.orchestration import resources
from tests.flows.conftest import SLOWLY, FilledBucket, FlowProcess, photo
from tests.flows.test_enrich_object import left, run, still_asked_for
from tests.flows.test_sweep import (  # noqa: F401 - fixtures
    Deployments,
    _nobody_else_s,
    deployments,
    prefect,
)
from tests.waiting import wait_until_gone

MANY = 400


@pytest.fixture
def watched(bucket: FilledBucket) -> Iterator[FilledBucket]:
    change_feed.turn_on(bucket.stack.database_url, [bucket.name], [])
    yield bucket
    change_feed.turn_off(bucket.stack.database_url)


def processed() -> State[Any]:
    return cast("State[Any]", process_queue(return_state=True))


def move(bucket: FilledBucket, path: str, target: str) -> None:
    assert resources.supabase().storage.from_(bucket.name).move(path, target)


def test_what_changes_while_a_run_is_killed_is_right_after_the_next(
    watched: FilledBucket,
    prefect: SyncPrefectClient,  # noqa: F811
    deployments: Deployments,  # noqa: F811
    start_flow: Callable[..., FlowProcess],
) -> None:
    watched.fill(MANY)
    assert left(watched) == MANY
    flow = start_flow(SLOWLY, flow="enrich-object", bucket=watched.name)
    lost = flow.wait_for_run_id()
    watched.wait_for_downloads(MANY // 4)

    watched.put("photos/00001.jpg", photo(1, (80, 20)))
    move(watched, "photos/00002.jpg", "moved/00002.jpg")
    watched.delete("photos/00003.jpg")
    watched.put("new.jpg", photo(9, (30, 90)))
    wait_until_gone(flow.kill())
    changed = {f"photos/0000{number}.jpg" for number in (1, 2, 3)} | {"moved/00002.jpg", "new.jpg"}
    assert changed <= still_asked_for(watched)

    resources.run_table().record(lost, status=RunStatus.CRASHED)  # as the sweep finds
    state = processed()
    (started,) = deployments.started("enrich-object")
    assert started.parameters["bucket"] == watched.name
    assert state.message == f"run {started.id} enriches the requested objects of {watched.name}/"
    assert processed().message == "Nothing to do"

    assert run(watched).is_completed()
    assert left(watched) == 0
    rows = watched.rows()
    objects = watched.query(
        "select name, metadata ->> 'eTag' as etag from storage.objects where bucket_id = $1",
        watched.name,
    )
    assert {path: row["etag"] for path, row in rows.items() if not row["gone_at"]} == {
        each["name"]: each["etag"] for each in objects
    }
    assert {row["status"] for row in rows.values()} == {"enriched"}
    assert rows["photos/00001.jpg"]["width"] == 80


def test_what_runs_store_themselves_is_not_queued(watched: FilledBucket) -> None:
    watched.fill(1)
    assert run(watched).is_completed()
    count = (
        "select count(*) as objects from {} o join media_enricher.own_buckets b on b.bucket = o.{}"
    )
    (stored,) = watched.query(count.format("storage.objects", "bucket_id"))
    (queued,) = watched.query(count.format("media_enricher.requested_objects", "bucket"))
    assert stored["objects"] > 0
    assert (queued["objects"], left(watched)) == (0, 0)
