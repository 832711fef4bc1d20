"""Objects that somebody asked for, one by one: each is done, again if need be, and none is lost."""

from __future__ import annotations

import json
import threading
from typing import Any
from uuid import uuid4

import pytest

from supabase_local.postgres import Postgres
from tests.database import Database
from tests.sql.conftest import Objects, Pipeline, etag_of, failed, found

Row = dict[str, Any]


class RequestedObjects:
    """Asking for objects of a bucket and prefix, and the run that drains them."""

    def __init__(self, database: Database, bucket: str, prefix: str = "") -> None:
        self._database = database
        self.place = (bucket, prefix)
        self.run_id = str(uuid4())

    def ask(self, *paths: str, is_forced: bool = False) -> Row:
        bucket, prefix = self.place
        asked = {
            "route": "enrich",
            "flow": "enrich-object",
            "bucket": bucket,
            "prefix": prefix,
            "objects": [{"path": path, "is_forced": is_forced} for path in paths],
            "caller": {"role": "webhook"},
        }
        answer = json.loads(
            self._database.value(
                "select public.media_request_run($1::jsonb, '{\"silence_seconds\": 60}')",
                json.dumps(asked),
            )
        )
        assert isinstance(answer, dict)
        return answer

    def start(self, answer: Row) -> None:
        self._database.rows(
            "select public.media_start_run($1, $2, null)", answer["request"]["id"], self.run_id
        )

    def page(self, *, depth: str = "full", limit: int = 1000) -> list[Row]:
        return self._database.rows(
            "select * from public.media_requested_objects($1, $2, $3, 1, $4, 3, $5)",
            *(*self.place, depth, ["network"], limit),
        )

    def pending(self, **question: Any) -> list[str]:
        return [row["path"] for row in self.page(**question) if row["is_pending"]]

    def complete(
        self, page: list[Row], run_id: str | None = None, *, is_older: bool = False
    ) -> int:
        """As a run does; if is_older, one of a version that knew of requests in turn alone."""
        fulfilled = self._database.value(
            "select public.media_fulfil_requests($1, $2, $3, $4, $5, $6, $7)",
            *self.place,
            [row["path"] for row in page],
            max((row["sequence"] for row in page), default=0),
            run_id,
            [row["path"] for row in page if not row["is_pending"]],
            None if is_older else [row["sequence"] for row in page],
        )
        assert isinstance(fulfilled, int)
        return fulfilled

    def finish(self) -> bool:
        finished = self._database.value(
            "select public.media_finish_requests($1, $2, $3)", self.run_id, *self.place
        )
        assert isinstance(finished, bool)
        return finished

    def status(self, status: str) -> None:
        self._database.rows(
            "select public.media_record_run($1::jsonb)",
            json.dumps({"id": self.run_id, "status": status}),
        )


@pytest.fixture
def requested(database: Database, objects: Objects) -> RequestedObjects:
    return RequestedObjects(database, objects.bucket)


def test_what_is_asked_for_is_planned_oldest_first_until_it_is_done(
    objects: Objects, requested: RequestedObjects
) -> None:
    objects.put("a.jpg", "b.jpg", "c.jpg", "unasked.jpg", size=7)
    requested.ask("c.jpg")
    requested.ask("a.jpg")
    requested.ask("b.jpg")
    assert requested.page(limit=1) == [
        {
            "path": "c.jpg",
            "etag": etag_of("content"),
            "size_bytes": 7,
            "declared_content_type": "image/jpeg",
            "previous_etag": None,
            "attempts": 0,
            "sequence": requested.page()[0]["sequence"],
            "is_pending": True,
        }
    ]
    assert requested.pending() == ["c.jpg", "a.jpg", "b.jpg"]
    assert requested.complete(requested.page(limit=1)) == 1
    assert requested.pending() == ["a.jpg", "b.jpg"]


def test_a_burst_of_requests_is_one_run(requested: RequestedObjects) -> None:
    answers = [requested.ask(f"{number}.jpg") for number in range(20)]
    assert [answer["is_new"] for answer in answers] == [True] + 19 * [False]
    requested.start(answers[0])
    assert requested.ask("one-more.jpg")["outcome"] == "under_way"
    assert len(requested.page()) == 21


def test_what_is_up_to_date_is_done_again_only_if_it_is_forced(
    objects: Objects, pipeline: Pipeline, requested: RequestedObjects
) -> None:
    objects.put("asked.jpg", "forced.jpg", "changed.jpg", "failed.jpg", "shallow.jpg")
    for path in ("asked.jpg", "forced.jpg", "changed.jpg"):
        pipeline.record(found(path))
    pipeline.record(failed("failed.jpg", "network"), found("shallow.jpg", depth="header"))
    objects.put("changed.jpg", content="new")
    requested.ask("asked.jpg", "changed.jpg", "failed.jpg", "shallow.jpg")
    requested.ask("forced.jpg", is_forced=True)
    page = {row["path"]: row for row in requested.page()}
    assert {path for path, row in page.items() if row["is_pending"]} == {
        "forced.jpg", "changed.jpg", "failed.jpg", "shallow.jpg",
    }  # fmt: skip
    assert page["changed.jpg"]["etag"] == etag_of("new")
    assert page["changed.jpg"]["previous_etag"] == etag_of("content")
    assert page["failed.jpg"]["attempts"] == 1
    assert "shallow.jpg" not in requested.pending(depth="header")
    assert requested.complete(list(page.values())) == 5  # what there was nothing to do for, too


def test_a_request_that_is_forced_stays_so_when_it_is_repeated(
    objects: Objects, pipeline: Pipeline, requested: RequestedObjects
) -> None:
    objects.put("a.jpg")
    pipeline.record(found("a.jpg"))
    requested.ask("a.jpg", is_forced=True)
    requested.ask("a.jpg", "a.jpg")
    assert requested.pending() == ["a.jpg"]


def test_what_is_forced_and_was_never_done_is_done_once(
    objects: Objects, requested: RequestedObjects
) -> None:
    objects.put("new.jpg")
    requested.ask("new.jpg", is_forced=True)
    assert requested.pending() == ["new.jpg"]


def test_the_asset_of_a_deleted_object_is_marked_as_gone(
    database: Database, objects: Objects, pipeline: Pipeline, requested: RequestedObjects
) -> None:
    objects.put("deleted.jpg", "kept.jpg", "unasked.jpg")
    pipeline.record(*(found(path) for path in ("deleted.jpg", "kept.jpg", "unasked.jpg")))
    objects.delete("deleted.jpg", "unasked.jpg")
    requested.ask("deleted.jpg", "kept.jpg", "never-was.jpg", is_forced=True)
    assert requested.pending() == ["kept.jpg"]
    assert pipeline.asset("deleted.jpg")["gone_at"] is not None
    assert pipeline.asset("kept.jpg")["gone_at"] is None
    assert pipeline.asset("unasked.jpg")["gone_at"] is None
    assert requested.complete(requested.page()) == 3
    objects.put("deleted.jpg")
    requested.ask("deleted.jpg")
    assert requested.pending() == ["deleted.jpg"]


@pytest.mark.parametrize("is_older", [False, True])
def test_what_is_asked_for_again_while_it_is_being_done_is_done_again(
    objects: Objects, requested: RequestedObjects, is_older: bool
) -> None:
    objects.put("a.jpg", "b.jpg")
    requested.ask("a.jpg", "b.jpg")
    page = requested.page()
    requested.ask("a.jpg")
    assert requested.complete(page, is_older=is_older) == 1
    assert [row["path"] for row in requested.page()] == ["a.jpg"]


def test_only_what_was_done_is_taken_for_done(requested: RequestedObjects) -> None:
    requested.ask("older.jpg")
    requested.ask("newer.jpg")
    assert requested.complete([row for row in requested.page() if row["path"] == "newer.jpg"]) == 1
    assert [row["path"] for row in requested.page()] == ["older.jpg"]


def test_prefixes_are_drained_apart(
    database: Database, objects: Objects, requested: RequestedObjects
) -> None:
    tenant = f"{uuid4()}/"
    other = RequestedObjects(database, objects.bucket, tenant)
    objects.put("a.jpg", f"{tenant}b.jpg")
    assert requested.ask("a.jpg")["is_new"]
    assert other.ask(f"{tenant}b.jpg")["is_new"]
    assert (requested.pending(), other.pending()) == (["a.jpg"], [f"{tenant}b.jpg"])
    requested.complete(requested.page())
    assert requested.finish()
    assert not other.finish()


def test_no_page_is_longer_than_an_answer_may_be(
    objects: Objects, requested: RequestedObjects
) -> None:
    paths = [f"{number:04}.jpg" for number in range(1001)]
    objects.put(*paths)
    requested.ask(*paths)
    assert len(requested.page(limit=5000)) == 1000


def test_a_path_that_no_object_can_have_is_no_work_and_no_error(
    requested: RequestedObjects,
) -> None:
    requested.ask("\U0001f600" * 1024, "ok.jpg")
    assert [row["path"] for row in requested.page()] == ["ok.jpg"]


def test_a_run_ends_only_when_nothing_is_left_and_the_next_request_gets_a_new_one(
    objects: Objects, requested: RequestedObjects
) -> None:
    objects.put("a.jpg", "b.jpg")
    requested.start(requested.ask("a.jpg"))
    requested.status("running")
    page = requested.page()
    assert not requested.finish()
    requested.ask("b.jpg")
    requested.complete(page)
    assert not requested.finish()
    requested.complete(requested.page())
    assert requested.finish()
    assert requested.finish()  # its answer may have been lost
    assert requested.ask("a.jpg")["is_new"]


def test_a_run_that_ends_before_its_start_was_confirmed_takes_nothing_with_it(
    requested: RequestedObjects,
) -> None:
    """Prefect was quick, and the gateway slow: what is asked for after must find no dead run."""
    answer = requested.ask("a.jpg")
    requested.complete(requested.page())
    assert requested.finish()
    requested.start(answer)
    assert requested.ask("b.jpg")["is_new"]


def test_the_end_of_one_run_does_not_release_the_next(
    database: Database, requested: RequestedObjects
) -> None:
    requested.start(requested.ask("a.jpg"))
    requested.complete(requested.page())
    assert requested.finish()
    following = RequestedObjects(database, *requested.place)
    following.start(following.ask("b.jpg"))
    following.complete(following.page())
    assert requested.finish()
    assert following.ask("c.jpg")["outcome"] == "under_way"


def test_a_request_that_races_with_the_end_of_a_run_is_never_lost(
    postgres: Postgres, database: Database, objects: Objects, requested: RequestedObjects
) -> None:
    """Either the run goes on, or the request starts another."""
    asking = Database(postgres.url())
    for number in range(60):
        answer = requested.ask(f"{number}-first.jpg")
        assert answer["is_new"]
        requested.run_id = str(uuid4())
        requested.start(answer)
        requested.complete(requested.page())
        other = RequestedObjects(asking, *requested.place)
        late: list[Row] = []
        start = threading.Barrier(2)

        def ask(
            late: list[Row] = late, other: RequestedObjects = other, path: str = f"{number}.jpg"
        ) -> None:
            start.wait()  # noqa: B023  # that of this round
            late.append(other.ask(path))

        thread = threading.Thread(target=ask)
        thread.start()
        start.wait()
        has_ended = requested.finish()
        thread.join()
        assert late[0]["is_new"] == has_ended
        if has_ended:
            requested.run_id = str(uuid4())
            requested.start(late[0])
        assert [row["path"] for row in requested.page()] == [f"{number}.jpg"]
        requested.complete(requested.page())
        assert requested.finish()
    asking.close()


def test_a_request_waits_for_a_run_that_is_just_ending(
    postgres: Postgres, database: Database, requested: RequestedObjects
) -> None:
    """The race, step by step: the end is not committed yet when the request comes."""
    requested.start(requested.ask("a.jpg"))
    requested.complete(requested.page())
    answers: list[Row] = []
    database.run("begin")
    try:
        assert requested.finish()

        def ask() -> None:
            connection = Database(postgres.url())
            answers.append(RequestedObjects(connection, *requested.place).ask("b.jpg"))
            connection.close()

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(timeout=0.5)
        assert thread.is_alive()
    finally:
        database.run("commit")
    thread.join()
    assert answers[0]["is_new"]
