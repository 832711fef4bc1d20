"""The optional files for hosted projects: they cannot hurt, and they send what the gateway takes.

pg_net, Vault and pg_cron are not to be had here. Tables with their names stand in for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from media_enricher import migrations
from media_enricher.gateway.schemas.requests import ObjectChange
from supabase_local.postgres import SUPERUSER, Postgres
from tests.database import Database
from tests.sql.conftest import Objects

STAND_INS = """
    create schema vault;
    create table vault.decrypted_secrets (name text, decrypted_secret text);
    insert into vault.decrypted_secrets values
      ('media_enricher_url', 'https://media.example.com'),
      ('media_enricher_webhook_secret', 'shared'),
      ('media_enricher_service_key', 'sb_secret_key');

    create schema net;
    create table net.sent (url text, headers jsonb, body jsonb);
    create function net.http_post(
      url text, body jsonb default '{}', params jsonb default '{}',
      headers jsonb default '{"Content-Type": "application/json"}',
      timeout_milliseconds integer default 1000
    ) returns bigint language sql as $$
      insert into net.sent values (url, headers, body);
      select 1
    $$;

    create schema cron;
    create table cron.job (name text, schedule text, command text);
    create function cron.schedule(job_name text, schedule text, command text)
    returns bigint language sql as $$
      insert into cron.job values (job_name, schedule, command);
      select 1
    $$;
"""


@pytest.fixture
def hosted(fresh_postgres: Postgres) -> Iterator[Database]:
    migrations.apply(fresh_postgres.url())
    database = Database(fresh_postgres.url())
    yield database
    database.close()


def apply(database: Database, file: str) -> None:
    database.run((migrations.FOLDER / "hosted" / file).read_text(encoding="utf-8"))


def sent(database: Database) -> list[dict[str, Any]]:
    rows = database.rows("select url, headers::text, body::text from net.sent")
    database.run("truncate net.sent")
    return [
        {"url": row["url"]} | {name: json.loads(row[name]) for name in ("headers", "body")}
        for row in rows
    ]


def test_the_webhook_tells_the_gateway_of_each_change(hosted: Database) -> None:
    hosted.run(STAND_INS)
    apply(hosted, "webhook.sql")
    objects = Objects(hosted)

    objects.put("a.jpg")
    (request,) = sent(hosted)
    assert request["url"] == "https://media.example.com/media-enricher/enrich"
    assert request["headers"]["x-webhook-secret"] == "shared"
    change = ObjectChange.model_validate(request["body"])
    assert (change.type, change.objects()[0].name) == ("INSERT", "a.jpg")

    objects.put("a.jpg", content="another")
    hosted.rows("update storage.objects set last_accessed_at = now()")
    (request,) = sent(hosted)
    assert ObjectChange.model_validate(request["body"]).type == "UPDATE"

    objects.delete("a.jpg")
    (request,) = sent(hosted)
    change = ObjectChange.model_validate(request["body"])
    assert (change.type, change.record, change.objects()[0].name) == ("DELETE", None, "a.jpg")


def test_the_webhook_tells_nothing_of_what_we_store_ourselves(hosted: Database) -> None:
    hosted.run(STAND_INS)
    apply(hosted, "webhook.sql")
    results, media = Objects(hosted), Objects(hosted)
    hosted.column(
        "select public.media_own_buckets($1::jsonb)", json.dumps({results.bucket: "results"})
    )

    results.put("result")
    results.put("result", content="another")
    results.delete("result")
    assert sent(hosted) == []

    results.put("moved")
    hosted.rows("update storage.objects set bucket_id = $1", media.bucket)
    (request,) = sent(hosted)
    assert request["body"]["record"] == {"bucket_id": media.bucket, "name": "moved"}


def test_the_webhook_tells_of_versions_what_becomes_of_the_object(hosted: Database) -> None:
    """An archived version and a mark of a deletion are rows of the table, and no objects."""
    hosted.run(STAND_INS)
    apply(hosted, "webhook.sql")
    objects = Objects(hosted)
    objects.put("a.jpg")
    sent(hosted)

    told: list[tuple[str, bool, bool]] = []
    for change in (
        "update storage.objects set archived_at = now()",
        "update storage.objects set metadata = '{}'",
        "update storage.objects set archived_at = null",
        "update storage.objects set is_delete_marker = true",
        "update storage.objects set archived_at = now(), is_delete_marker = false",
        "set storage.allow_delete_query = 'true'; delete from storage.objects",
        "insert into storage.objects (bucket_id, name, is_delete_marker)"
        f" values ('{objects.bucket}', 'a.jpg', true)",
    ):
        hosted.run(change)
        told += [
            (body["type"], body["record"] is not None, body["old_record"] is not None)
            for body in (request["body"] for request in sent(hosted))
        ]
    assert told == [("DELETE", False, True), ("INSERT", True, False), ("DELETE", False, True)]


def test_the_webhook_is_made_on_an_older_project_too(
    hosted: Database, fresh_postgres: Postgres
) -> None:
    superuser = Database(fresh_postgres.url(SUPERUSER))
    superuser.run("alter table storage.objects drop archived_at, drop is_delete_marker")
    superuser.close()
    hosted.run(STAND_INS)
    apply(hosted, "webhook.sql")
    objects = Objects(hosted)

    objects.put("a.jpg")
    objects.delete("a.jpg")

    assert [request["body"]["type"] for request in sent(hosted)] == ["INSERT", "DELETE"]


@pytest.mark.parametrize("gone", ["is_object(jsonb)", "is_own_bucket(text)"])
def test_the_webhook_breaks_no_upload_where_the_migrations_are_older(
    hosted: Database, gone: str
) -> None:
    hosted.run(STAND_INS)
    apply(hosted, "webhook.sql")
    hosted.run(f"drop function media_enricher.{gone} cascade")

    Objects(hosted).put("a.jpg")

    assert hosted.column("select name from storage.objects") == ["a.jpg"]


def test_the_webhook_never_breaks_an_upload(hosted: Database) -> None:
    """Whatever is missing: here neither pg_net nor Vault is there."""
    apply(hosted, "webhook.sql")
    apply(hosted, "webhook.sql")  # once more does no harm
    objects = Objects(hosted)

    objects.put("a.jpg", "b.jpg")
    objects.delete("a.jpg")

    assert hosted.column("select name from storage.objects") == ["b.jpg"]


def test_the_schedule_calls_cron_with_the_key_of_vault(hosted: Database) -> None:
    hosted.run(STAND_INS)
    apply(hosted, "schedule.sql")

    (job,) = hosted.rows("select * from cron.job")
    hosted.run(job["command"])

    assert job["schedule"] == "*/15 * * * *"
    assert "sb_secret" not in job["command"]
    (request,) = sent(hosted)
    assert request["url"] == (
        "https://media.example.com/media-enricher/cron?bucket=dashboard-assets"
    )
    assert request["headers"]["Authorization"] == "Bearer sb_secret_key"


def test_migrating_leaves_them_out() -> None:
    assert not [each.name for each in migrations.load() if "cron" in each.sql]
