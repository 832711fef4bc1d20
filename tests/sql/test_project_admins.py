"""`media-enricher project-admins`: admins of the whole project read all, and nobody else does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from media_enricher import project_admins, settings
from media_enricher.cli import app
from media_enricher.project_admins import TABLES, ProjectAdminsError
from supabase_local.postgres import Postgres
from tests.database import Database
from tests.sql.conftest import Objects, Pipeline, found

TENANT = "3f3a2a9e-009b-41a0-a162-d56c9b7eb75a"
OTHER_TENANT = "7e4a47b0-0000-4000-8000-00000000000f"
SOMEBODY = "50e0b0d1-0000-4000-8000-000000000001"
ADMIN = {"user_role": "admin"}


@pytest.fixture
def is_on(database: Database) -> Iterator[None]:
    project_admins.turn_on(database.url)
    yield
    project_admins.turn_off(database.url)


@pytest.fixture
def media(database: Database, objects: Objects, pipeline: Pipeline) -> str:
    """A bucket with an object of a tenant and one of nobody, and a run of the tenant."""
    paths = (f"{TENANT}/shared.jpg", "nobody.jpg")
    objects.put(*paths)
    pipeline.record(*map(found, paths))
    database.rows(
        "insert into public.media_enrich_runs (id, bucket, flow, tenant_id, status)"
        " values ($1, $2, 'backfill', $3, 'running')",
        *(str(uuid4()), objects.bucket, TENANT),
    )
    return objects.bucket


def claims(granted: Any, **changes: Any) -> dict[str, Any]:
    user = {"sub": SOMEBODY, "role": "authenticated", "is_anonymous": False}
    return user | {"app_metadata": granted} | changes


def reads(
    database: Database, media: str, told: dict[str, Any] | str, role: str = "authenticated"
) -> tuple[int, bool, bool, int]:
    """How much is read: assets, the tenant's runs, the totals, and what facets count."""
    database.run("begin")
    try:
        database.rows(
            "select set_config('request.jwt.claims', $1, true)",
            told if isinstance(told, str) else json.dumps(told),
        )
        database.run(f"set local role {role}")
        return (
            database.value("select count(*) from public.media_assets where bucket = $1", media),
            database.value(
                "select exists (select id from public.media_enrich_runs where tenant_id = $1)",
                TENANT,
            ),
            database.value(
                "select exists (select from public.media_totals"
                " where bucket = $1 and tenant_id is null)",
                media,
            ),
            database.value(
                "select coalesce(sum(objects), 0)::int from public.media_facets($1)"
                " where facet = 'status'",
                media,
            ),
        )
    finally:
        database.run("rollback")


EVERYTHING = (2, True, True, 2)
NOTHING = (0, False, False, 0)


@pytest.mark.parametrize(
    "granted",
    [
        ADMIN,
        {"role": "admin"},
        {"role": "editor", "user_role": "admin"},
        {"user_role": "admin", "tenant_id": None},
        {"user_role": "admin", "tenant_id": ""},
    ],
)
@pytest.mark.usefixtures("is_on")
def test_an_admin_without_a_tenant_reads_all(
    database: Database, media: str, granted: dict[str, Any]
) -> None:
    assert reads(database, media, claims(granted)) == EVERYTHING


@pytest.mark.parametrize(
    "told",
    [
        claims({}),
        claims({"user_role": "editor"}),
        claims({"user_role": ["admin"]}),
        claims({"user_role": True, "role": {"admin": "admin"}}),
        claims({"user_role": "Admin"}),
        claims({"user_role": "admin", "tenant_id": OTHER_TENANT}),
        claims({"user_role": "admin", "tenant_id": "acme"}),
        claims({"user_role": "admin", "tenant_id": 7}),
        claims({"user_role": "admin", "tenant_id": []}),
        claims(ADMIN, is_anonymous=True),
        claims(ADMIN, is_anonymous="false"),
        claims({}, user_metadata=ADMIN),
        claims({}, raw_user_meta_data=ADMIN, user_role="admin"),
        claims("admin"),
        claims(["admin", ADMIN]),
        claims(None),
        "",
        "no json",
        "[]",
        '"admin"',
    ],
    ids=str,
)
@pytest.mark.usefixtures("is_on")
def test_others_read_no_more_than_before(
    database: Database, media: str, told: dict[str, Any] | str
) -> None:
    assert reads(database, media, told) == NOTHING


@pytest.mark.usefixtures("is_on")
def test_an_admin_of_a_tenant_reads_what_is_the_tenants(database: Database, media: str) -> None:
    told = claims({"user_role": "admin", "tenant_id": TENANT})
    assert reads(database, media, told) == (1, True, False, 1)


@pytest.mark.usefixtures("is_on")
def test_an_admin_reads_of_a_run_what_every_user_does_and_writes_nothing(
    database: Database, media: str
) -> None:
    for statement in (
        "select prefix from public.media_enrich_runs",
        "delete from public.media_assets",
        "update public.media_assets set title = 'mine'",
        "select * from media_enricher.run_failures",
        "select * from audit.enricher_invocations",
    ):
        database.run("begin")
        database.rows(
            "select set_config('request.jwt.claims', $1, true)", json.dumps(claims(ADMIN))
        )
        database.run("set local role authenticated")
        with pytest.raises(Exception, match="permission denied"):
            database.rows(statement)
        database.run("rollback")


@pytest.mark.usefixtures("is_on")
def test_visitors_read_nothing(database: Database, media: str) -> None:
    with pytest.raises(Exception, match="permission denied"):
        reads(database, media, claims(ADMIN, role="anon"), role="anon")
    database.run("begin; set local role anon")
    with pytest.raises(Exception, match="permission denied"):
        database.value("select public.media_caller_is_project_admin()")
    database.run("rollback")


@pytest.mark.usefixtures("is_on")
def test_the_claims_are_read_once_for_a_statement(database: Database, media: str) -> None:
    database.run("begin; set local role authenticated")
    plan = database.column(
        "explain (verbose) select id from public.media_assets where bucket = 'some'"
    )
    database.run("rollback")
    filters = [line for line in plan if "Filter:" in line]
    assert any("InitPlan" in line for line in plan)
    assert not any("media_caller_is_project_admin()" in line for line in filters)


def test_off_takes_it_all_away(database: Database, media: str) -> None:
    before = policies(database)
    for _ in range(2):
        project_admins.turn_on(database.url)
        assert project_admins.missing(database.url) == []
    for _ in range(2):
        project_admins.turn_off(database.url)
        assert project_admins.missing(database.url) == list(TABLES)
    assert reads(database, media, claims(ADMIN)) == NOTHING
    assert policies(database) == before
    assert not database.column("select 1 from pg_proc where proname like '%project_admin%'")


def policies(database: Database) -> list[str]:
    return database.column("select p::text from pg_policies p order by 1")


def test_the_commands_say_how_it_is(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database.url)
    settings.database_settings.cache_clear()

    def said(command: str) -> str:
        result = CliRunner().invoke(app, ["project-admins", command])
        assert result.exit_code == 0, result.output
        return result.output.partition(":")[0]

    try:
        assert [said(each) for each in ("status", "on", "status")] == ["Off", "On", "On"]
        database.run('drop policy "project admins read all totals" on public.media_totals')
        assert said("status") == "Incomplete"
        assert [said(each) for each in ("on", "off", "status")] == ["On", "Off", "Off"]
    finally:
        project_admins.turn_off(database.url)
        settings.database_settings.cache_clear()


def test_a_database_without_the_migrations_is_told_of(fresh_postgres: Postgres) -> None:
    with pytest.raises(ProjectAdminsError, match="media-enricher migrate"):
        project_admins.turn_on(fresh_postgres.url())
    with pytest.raises(ProjectAdminsError, match="Check DATABASE_URL"):
        project_admins.missing("postgresql://127.0.0.1:9/db")
