"""The change feed: what happens to an object of a watched bucket is queued in its transaction."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import asyncpg
import pytest

from media_enricher import change_feed, migrations
from media_enricher.change_feed import ChangeFeedError
from media_enricher.gateway.schemas.requests import ObjectChange
from supabase_local.postgres import SUPERUSER, Postgres, running_postgres
from tests.database import Database
from tests.sql.conftest import Objects, Pipeline, found
from tests.sql.test_hosted import STAND_INS
from tests.sql.test_requested_objects import RequestedObjects


@pytest.fixture(scope="module")
def server(needs_stack: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A database of this module's own: triggers are there for all that use it."""
    with running_postgres(tmp_path_factory.mktemp("changes")) as running:
        migrations.apply(running.url())
        yield running


@pytest.fixture
def database(server: Postgres) -> Iterator[Database]:
    connection = Database(server.url())
    connection.run("delete from media_enricher.watched_buckets")
    connection.run("delete from media_enricher.requested_objects")
    yield connection
    connection.close()
    change_feed.turn_off(server.url())


@pytest.fixture
def objects(database: Database) -> Objects:
    return Objects(database)


@pytest.fixture
def watched(database: Database, objects: Objects) -> Objects:
    """A bucket that is watched, with the feed on."""
    change_feed.turn_on(database.url, [objects.bucket], [])
    return objects


def queued(database: Database) -> list[tuple[str, str]]:
    """What waits, as (bucket, path) in the order of the queue; then nothing does."""
    rows = database.rows(
        "with taken as (delete from media_enricher.requested_objects returning *)"
        " select bucket, prefix, path, is_forced from taken order by path"
    )
    assert {(row["prefix"], row["is_forced"]) for row in rows} <= {("", False)}
    return [(row["bucket"], row["path"]) for row in rows]


def move(database: Database, bucket: str, path: str, to: tuple[str, str]) -> None:
    database.rows(
        "update storage.objects set bucket_id = $3, name = $4 where bucket_id = $1 and name = $2",
        *(bucket, path, *to),
    )


def test_each_change_is_queued(database: Database, watched: Objects) -> None:
    bucket = watched.bucket
    watched.put("a.jpg", "b.jpg")
    assert queued(database) == [(bucket, "a.jpg"), (bucket, "b.jpg")]
    watched.put("a.jpg", "c.jpg", content="new")  # one of them is overwritten
    assert queued(database) == [(bucket, "a.jpg"), (bucket, "c.jpg")]
    move(database, bucket, "a.jpg", (bucket, "moved.jpg"))
    assert queued(database) == [(bucket, "a.jpg"), (bucket, "moved.jpg")]
    watched.delete("moved.jpg", "c.jpg", "never-was.jpg")
    assert queued(database) == [(bucket, "c.jpg"), (bucket, "moved.jpg")]


CHANGES = {
    "bucket_id": "$other",
    "name": "'new'",
    "version": "'another'",
    "metadata": """'{"eTag": "new"}'""",
    "owner": "gen_random_uuid()",
    "owner_id": "'somebody'",
    "id": "gen_random_uuid()",
}


@pytest.mark.parametrize("column", CHANGES)
def test_a_column_that_matters_is_a_change(
    database: Database, watched: Objects, column: str
) -> None:
    other = Objects(database).bucket
    watched.put("a.jpg")
    queued(database)
    value = CHANGES[column].replace("$other", f"'{other}'")
    database.rows(f"update storage.objects set {column} = {value} where name = 'a.jpg'"
                  f" and bucket_id = '{watched.bucket}'")  # fmt: skip
    assert (watched.bucket, "a.jpg") in queued(database)


def test_what_does_not_matter_is_no_change(database: Database, watched: Objects) -> None:
    watched.put("a.jpg")
    queued(database)
    database.run("update storage.objects set last_accessed_at = now(), updated_at = now()")
    database.run("update storage.objects set version = version, metadata = metadata")
    assert queued(database) == []


def test_a_version_that_is_archived_or_marked_as_deleted_is_a_change(
    server: Postgres, database: Database, objects: Objects
) -> None:
    """In projects whose Storage has such columns; the triggers are made anew for them."""
    change_feed.turn_on(server.url(), [objects.bucket], [])
    assert change_feed.status(server.url()).is_complete
    owner = Database(server.url(SUPERUSER))
    columns = {"archived_at": "timestamptz", "is_delete_marker": "boolean"}
    present = set(owner.column("select attname from pg_attribute where attrelid = "
                               "'storage.objects'::regclass"))  # fmt: skip
    for name, kind in columns.items():
        owner.run(f"alter table storage.objects add column if not exists {name} {kind}")
    if not present.issuperset(columns):
        assert change_feed.status(server.url()).unknown_columns == tuple(sorted(columns))
    change_feed.turn_on(server.url(), [objects.bucket], [])
    assert change_feed.status(server.url()).is_complete
    for change in ("archived_at = now()", "is_delete_marker = true"):
        objects.put(change)
        queued(database)
        database.run(f"update storage.objects set {change} where name = '{change}'")
        assert queued(database) == [(objects.bucket, change)]
    change_feed.turn_off(server.url())
    for name in columns.keys() - present:
        owner.run(f"alter table storage.objects drop column {name}")
    owner.close()


def test_only_watched_buckets_are_served_and_a_move_between_them_is_both(
    database: Database, watched: Objects
) -> None:
    other = Objects(database)
    other.put("a.jpg", "b.jpg")
    other.delete("b.jpg")
    assert queued(database) == []
    move(database, other.bucket, "a.jpg", (watched.bucket, "in.jpg"))
    assert queued(database) == [(watched.bucket, "in.jpg")]
    move(database, watched.bucket, "in.jpg", (other.bucket, "out.jpg"))
    assert queued(database) == [(watched.bucket, "in.jpg")]


def test_our_own_buckets_are_never_watched(database: Database, watched: Objects) -> None:
    """Neither by a command, nor by the settings, nor if they become ours later."""
    own = "media-enricher-snapshots"
    with pytest.raises(ChangeFeedError, match=f"stores its own results or snapshots in .*'{own}'"):
        change_feed.turn_on(database.url, [own], [])
    with pytest.raises(asyncpg.InvalidParameterValueError, match="is not worked on"):
        database.run(f"insert into media_enricher.watched_buckets values ('{own}', 'command')")
    assert watch(database, own, watched.bucket) == {own: "refused", watched.bucket: "kept"}

    database.column(
        "select public.media_own_buckets($1::jsonb)", json.dumps({watched.bucket: "results"})
    )
    watched.put("result")
    assert queued(database) == []
    assert [each.name for each in change_feed.status(database.url).buckets] == []


def watch(database: Database, *buckets: str) -> dict[str, str]:
    rows = database.rows("select * from public.media_watch_buckets($1)", list(buckets))
    return {row["bucket"]: row["outcome"] for row in rows}


def test_the_buckets_of_the_settings_follow_them_and_those_of_commands_stay(
    database: Database, watched: Objects
) -> None:
    assert watch(database, "one", "two") == {"one": "added", "two": "added"}
    assert watch(database, "two", "two") == {"one": "removed", "two": "kept"}
    assert watch(database) == {"two": "removed"}
    assert [each.name for each in change_feed.status(database.url).buckets] == [watched.bucket]


def test_what_is_rolled_back_was_never_queued(database: Database, watched: Objects) -> None:
    database.run("begin")
    watched.put("a.jpg")
    database.run("rollback")
    assert queued(database) == []


def test_a_path_that_no_object_can_have_breaks_nothing(
    database: Database, watched: Objects
) -> None:
    database.rows(
        "insert into storage.objects (bucket_id, name) values ($1, $2), ($1, null), (null, 'a')",
        *(watched.bucket, "\U0001f600" * 300),
    )
    watched.put("ok.jpg")
    assert queued(database) == [(watched.bucket, "ok.jpg")]


BREAKAGES = {
    "the queue is not there": (
        "alter table media_enricher.requested_objects rename to lost",
        "alter table media_enricher.lost rename to requested_objects",
    ),
    "the function is not there": (
        "alter function media_enricher.queue_changes rename to lost",
        "alter function media_enricher.lost rename to queue_changes",
    ),
    "the queue refuses": (
        "alter table media_enricher.requested_objects add constraint never check (false) not valid",
        "alter table media_enricher.requested_objects drop constraint never",
    ),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_uploads_work_whatever_is_broken_and_the_log_says_so(
    database: Database, watched: Objects, breakage: str
) -> None:
    watched.put("before.jpg")
    queued(database)
    breaks, mends = BREAKAGES[breakage]
    with database.warnings() as warnings:
        database.run(breaks)
        watched.put("a.jpg", "b.jpg")
        watched.put("before.jpg", content="new")
        watched.delete("a.jpg")
        database.run(mends)
    assert len(warnings) >= 3
    assert all("could not queue changed objects" in each for each in warnings)
    names = database.column(
        "select name from storage.objects where bucket_id = $1 order by 1", watched.bucket
    )
    assert names == ["b.jpg", "before.jpg"]


def test_an_upload_waits_for_no_lock_for_long(
    server: Postgres, database: Database, watched: Objects
) -> None:
    """As when a migration holds the queue. What is not queued then, the sweep finds."""
    holder = Database(server.url())
    holder.run("begin")
    holder.run("lock table media_enricher.requested_objects in access exclusive mode")
    with database.warnings() as warnings:
        watched.put("a.jpg")
    holder.run("rollback")
    holder.close()
    assert "lock timeout" in warnings[0]
    assert Pipeline(database, watched).paths() == ["a.jpg"]


def test_the_overwrite_of_an_object_that_is_being_done_is_not_taken_for_done(
    server: Postgres, database: Database, watched: Objects
) -> None:
    """Its number is lower than that of an upload that was seen, but it appears only afterwards."""
    requested = RequestedObjects(database, watched.bucket)
    watched.put("a.jpg")
    slow = Database(server.url())
    slow.run("begin")
    Pipeline(database, watched).record(found("a.jpg"))
    slow.rows(
        "update storage.objects set version = 'new', metadata = $2::jsonb where bucket_id = $1",
        watched.bucket,
        json.dumps({"eTag": '"new"', "mimetype": "image/jpeg"}),
    )
    watched.put("b.jpg")
    page = requested.page()
    assert [row["path"] for row in page] == ["a.jpg", "b.jpg"]

    # Its row is locked: neither waits for the other.
    database.run("set lock_timeout = '5s'")
    assert requested.complete(page) == 1
    slow.run("commit")
    slow.close()
    assert requested.complete(page) == 0
    assert requested.pending() == ["a.jpg"]
    assert not requested.finish()


def test_uploads_and_the_run_that_drains_them_never_wait_for_each_other_crosswise(
    server: Postgres, database: Database, watched: Objects
) -> None:
    """Statements of many objects, in orders that would make a deadlock."""
    paths = [f"{number:03}.jpg" for number in range(200)]
    stop = threading.Event()
    drained: list[str] = []

    def drain() -> None:
        connection = Database(server.url())
        requested = RequestedObjects(connection, watched.bucket)
        while not (stop.is_set() and requested.finish()):
            page = requested.page()
            drained.extend(row["path"] for row in page)
            requested.complete(page[::-1])
        connection.close()

    drains = threading.Thread(target=drain)
    drains.start()
    with database.warnings() as warnings:
        for number in range(15):
            watched.put(*paths[:: 1 if number % 2 else -1], content=str(number))
            watched.delete(*paths[::3])
    stop.set()
    drains.join()
    assert warnings == []
    assert set(drained) == set(paths)
    assert queued(database) == []


def test_the_gateway_is_told_at_once_where_pg_net_is_and_at_most_once_a_second(
    database: Database, objects: Objects
) -> None:
    other = Objects(database)
    change_feed.turn_on(database.url, [objects.bucket, other.bucket], [])
    assert not change_feed.status(database.url).notifies
    database.run(STAND_INS)
    assert change_feed.status(database.url).notifies

    objects.put("a.jpg", "b.jpg")
    objects.put("c.jpg")
    other.put("d.jpg")
    Objects(database).put("unwatched.jpg")
    sent = database.rows("select url, headers::text, body::text from net.sent")
    assert {row["url"] for row in sent} == {"https://media.example.com/media-enricher/enrich"}
    assert json.loads(sent[0]["headers"])["x-webhook-secret"] == "shared"
    changes = [ObjectChange.model_validate(json.loads(row["body"])) for row in sent]
    told = [(each.bucket_id, each.name) for change in changes for each in change.objects()]
    assert sorted({bucket for bucket, _ in told}) == sorted({objects.bucket, other.bucket})

    database.run("update media_enricher.watched_buckets set notified_at = now() - interval '1 min'")
    database.run("truncate net.sent")
    objects.delete("a.jpg")
    assert database.value("select count(*) from net.sent") == 1

    # Neither just after the last time, nor while another upload is at it; none waits for another.
    database.run("update media_enricher.watched_buckets set notified_at = now() + interval '1 h'")
    objects.put("f.jpg")
    database.run("update media_enricher.watched_buckets set notified_at = null")
    holder = Database(database.url)
    holder.run("begin; select from media_enricher.watched_buckets for update")
    with database.warnings() as warnings:
        objects.put("g.jpg")
    holder.run("rollback")
    holder.close()
    assert (database.value("select count(*) from net.sent"), warnings) == (1, [])

    # Nothing of that is needed for the queue.
    database.run("update media_enricher.watched_buckets set notified_at = null")
    database.run("drop function net.http_post")
    with database.warnings() as warnings:
        objects.put("e.jpg")
    assert "could not tell the gateway" in warnings[0]
    assert (objects.bucket, "e.jpg") in queued(database)
    database.run("drop schema vault, net, cron cascade")


def test_the_feed_is_turned_on_and_off_as_often_as_one_likes(
    database: Database, objects: Objects
) -> None:
    url = database.url
    assert change_feed.status(url).is_off
    change_feed.turn_off(url)
    with pytest.raises(ChangeFeedError, match="No bucket is watched"):
        change_feed.turn_on(url, [], [])
    with pytest.raises(ChangeFeedError, match="There is no bucket 'none'"):
        change_feed.turn_on(url, ["none"], [])
    assert change_feed.status(url).is_off

    for _ in range(2):
        change_feed.turn_on(url, [], [objects.bucket, "to-come"])
        now = change_feed.status(url)
        assert (now.is_complete, now.notifies) == (True, False)
        watching = [(each.name, each.is_watched) for each in now.buckets]
        assert sorted(watching) == sorted([(objects.bucket, True), ("to-come", True)])
    objects.put("a.jpg", "b.jpg")
    (shown,) = [each for each in change_feed.status(url).buckets if each.name == objects.bucket]
    assert (shown.waiting, shown.oldest is None) == (2, False)
    assert change_feed.unwatch(url, ["to-come", "never"]) == ["to-come"]

    for _ in range(2):
        change_feed.turn_off(url)
        assert change_feed.status(url).is_off
    objects.put("c.jpg")
    assert [path for _, path in queued(database)] == ["a.jpg", "b.jpg"]


def test_a_busy_table_is_waited_for_and_uploads_not_for_long(
    server: Postgres, database: Database, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_feed, "_LOCK_SECONDS", 0.1)
    monkeypatch.setattr(change_feed, "_LOCK_ATTEMPTS", 2)
    uploading = Database(server.url())
    uploading.run("begin")
    Objects(uploading).put("slow.jpg")
    with pytest.raises(ChangeFeedError, match=r"locked, 2 times for 0\.1 s\. The triggers are as"):
        change_feed.turn_on(server.url(), [objects.bucket], [])
    assert change_feed.status(server.url()).is_off
    uploading.run("rollback")
    uploading.close()
    change_feed.turn_on(server.url(), [objects.bucket], [])
    assert change_feed.status(server.url()).is_complete


def test_nobody_but_the_owner_may_call_what_the_triggers_call(
    database: Database, watched: Objects
) -> None:
    open_to_all = database.column(
        """
        select p.proname from pg_proc p, unnest(array['anon', 'authenticated', 'service_role']) r
        where p.proname ~ '^(queue_change|notify_gateway)'
          and has_function_privilege(r, p.oid, 'execute')
        """
    )
    assert open_to_all == []


def test_a_user_s_upload_is_queued_although_they_may_not_see_the_queue(
    server: Postgres, database: Database, watched: Objects
) -> None:
    database.run(
        "create policy anyone on storage.objects to authenticated using (true) with check (true)"
    )
    database.run("set role authenticated")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        database.rows("select * from media_enricher.requested_objects")
    watched.put("a.jpg")
    watched.put("a.jpg", content="new")
    database.run("reset role")
    database.run("drop policy anyone on storage.objects")
    assert queued(database) == [(watched.bucket, "a.jpg")]


def test_what_was_deleted_last_before_its_bucket_was_is_gone(
    database: Database, watched: Objects
) -> None:
    """No run looks at a bucket that is not there, so the purge of its requests tells."""
    pipeline = Pipeline(database, watched)
    watched.put("a.jpg")
    pipeline.record(found("a.jpg"))
    watched.delete("a.jpg")
    database.run(f"delete from storage.buckets where id = '{watched.bucket}'")
    assert pipeline.asset("a.jpg")["gone_at"] is None
    database.rows("select public.media_purge_requests(90)")
    assert pipeline.asset("a.jpg")["gone_at"] is not None
    assert queued(database) == []
