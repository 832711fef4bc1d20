"""`sql/schemas/` says what the migrations leave behind: both make the same database."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import asyncpg
import pytest

from media_enricher import migrations
from media_enricher.local.postgres import Postgres, running_postgres
from tests.sql.catalogue import Catalogue, differences, read

ROOT = migrations.FOLDER.parent
SCHEMAS = migrations.FOLDER / "schemas"
MIGRATED, WRITTEN = "sql/*.sql", "sql/schemas/*.sql"


@pytest.fixture(scope="module")
def server(needs_stack: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with running_postgres(tmp_path_factory.mktemp("schemas")) as running:
        yield running


@pytest.fixture(scope="module")
def migrated(server: Postgres) -> str:
    """The URL of a database that the migrations were applied to."""
    return _database(server, "migrated", migrations.FOLDER)


@pytest.fixture(scope="module")
def written(server: Postgres) -> str:
    """The URL of a database that the files of `sql/schemas/` were run in."""
    return _database(server, "written", SCHEMAS)


def test_the_schemas_are_what_the_migrations_make(migrated: str, written: str) -> None:
    difference = differences(_catalogue(migrated), _catalogue(written), MIGRATED, WRITTEN)
    if difference:
        pytest.fail(
            "The migrations and the schemas make different databases "
            f"(docs/guides/change-the-database.md):\n{difference}",
            pytrace=False,
        )


# What each is meant to change in a database, and what the difference must then name.
CHANGES = {
    "alter function public.media_cuts(text) volatile": "function public.media_cuts(text)",
    "create or replace function media_enricher.is_own_bucket(p_bucket text) returns boolean"
    " language sql stable set search_path = '' as 'select true'": (
        "function media_enricher.is_own_bucket(text)"
    ),
    "create function public.extra() returns int language sql return 1": "function public.extra()",
    "drop function public.media_cuts": "function public.media_cuts(text)",
    "grant execute on function public.media_cuts to anon": (
        "grants on function public.media_cuts(text)"
    ),
    "grant insert on public.media_assets to authenticated": "grants on table public.media_assets",
    "grant select (error) on public.media_enrich_runs to authenticated": (
        "grants on column public.media_enrich_runs.error"
    ),
    "grant usage on schema audit to anon": "grants on schema audit",
    "alter default privileges in schema audit grant select on tables to anon": (
        "grants on what postgres creates in audit (r)"
    ),
    "comment on column public.media_assets.etag is 'another'": (
        "comment on table column public.media_assets.etag"
    ),
    "comment on function public.media_cuts is null": "comment on function public.media_cuts(text)",
    "alter table public.media_assets alter attempts set default 2": (
        "column public.media_assets.attempts"
    ),
    "alter table public.media_assets alter format set not null": (
        "column public.media_assets.format"
    ),
    "alter table public.media_assets alter width type bigint": "column public.media_assets.width",
    "alter table public.media_assets add extra text": "column public.media_assets.extra",
    "alter table public.media_assets drop tags; alter table public.media_assets add tags text[]": (
        "table public.media_assets"
    ),
    "alter table media_enricher.requested_objects alter sequence set generated always": (
        "column media_enricher.requested_objects.sequence"
    ),
    "alter table media_enricher.requested_objects alter sequence set cache 9": (
        "sequence values media_enricher.requested_objects_sequence_seq"
    ),
    "alter table public.media_assets drop constraint media_assets_size_check": (
        "constraint media_assets_size_check on public.media_assets"
    ),
    "drop index public.media_assets_phash_idx": "index public.media_assets_phash_idx",
    "alter table public.media_assets disable trigger media_assets_touch_updated_at": (
        "trigger media_assets_touch_updated_at on public.media_assets"
    ),
    "alter table media_enricher.batch_cuts disable row level security": (
        "table media_enricher.batch_cuts"
    ),
    'alter policy "the service role keeps the audit" on audit.enricher_invocations to anon': (
        'policy "the service role keeps the audit" on audit.enricher_invocations'
    ),
    'alter policy "users read their own media and their tenant\'s" on public.media_assets'
    " using (true)": (
        'policy "users read their own media and their tenant\'s" on public.media_assets'
    ),
    "create type public.extra as enum ('a')": "type public.extra",
    "create view public.extra as select 1 as one": "view public.extra",
    "create sequence public.extra": "sequence public.extra",
    "create schema extra": "schema extra",
    "grant create on schema public to service_role;"
    " alter table public.media_assets owner to service_role": "table public.media_assets",
    "alter publication supabase_realtime add table public.media_enrich_runs": (
        "publication supabase_realtime"
    ),
    "delete from media_enricher.own_buckets where purpose = 'results'": (
        "rows of media_enricher.own_buckets"
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_no_change_goes_unseen(migrated: str, change: str) -> None:
    difference = asyncio.run(_difference_made(migrated, change))
    headings = re.findall(r"^@@ (.*?)(?:: only in .*)?$", difference, flags=re.MULTILINE)
    assert CHANGES[change] in headings


def test_a_difference_reads_as_a_diff() -> None:
    old = {"function f()": "begin\n  one;\n  two;\nend", "index i": "on t (a)", "table t": "a"}
    new = {"function f()": "begin\n  one;\n  2;\nend", "policy p": "using (true)", "table t": "a"}
    assert differences(old, new, "old", "new").splitlines() == [
        "--- old",
        "+++ new",
        "@@ function f()",
        " begin",
        "   one;",
        "-  two;",
        "+  2;",
        " end",
        "@@ index i: only in old",
        "-on t (a)",
        "@@ policy p: only in new",
        "+using (true)",
    ]
    assert differences(old, old, "old", "new") == ""


def test_they_are_no_migrations() -> None:
    files = _files(SCHEMAS)
    assert files
    for file in files:
        assert re.fullmatch(r"\d\d_[a-z_]+\.sql", file.name), (
            f"{file.name} has no place in the order"
        )
    assert not {file.name for file in files} & {each.name for each in migrations.load()}


def test_the_guide_says_what_each_file_is_for() -> None:
    guide = (ROOT / "docs/guides/change-the-database.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(\d\d_[a-z_]+\.sql)`", guide)) | {"10_schemas.sql"} == {
        file.name for file in _files(SCHEMAS)
    }


def _database(server: Postgres, name: str, folder: Path) -> str:
    """Makes a database as Supabase leaves it, and runs the files of a folder in it."""
    url = server.url().rpartition("/")[0] + f"/{name}"
    asyncio.run(_run(server.url(), f"create database {name} template postgres"))
    for file in _files(folder):
        script = file.read_text(encoding="utf-8")
        try:
            asyncio.run(_run(url, script))
        except asyncpg.PostgresError as error:
            position = int(error.as_dict().get("position") or 1)
            place = f"{file.relative_to(ROOT)}:{script.count(chr(10), 0, position - 1) + 1}"
            raise pytest.fail.Exception(f"{place}: {error}", pytrace=False) from None
    return url


def _files(folder: Path) -> Sequence[Path]:
    return sorted(folder.glob("*.sql"))


async def _run(url: str, script: str) -> None:
    """All of it in one transaction, as Postgres takes a script."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(script)
    finally:
        await connection.close()


def _catalogue(url: str) -> Catalogue:
    async def fetch() -> Catalogue:
        connection = await asyncpg.connect(url)
        try:
            return await read(connection)
        finally:
            await connection.close()

    return asyncio.run(fetch())


async def _difference_made(url: str, change: str) -> str:
    """What a statement changes in a database; it is undone."""
    connection = await asyncpg.connect(url)
    try:
        before = await read(connection)
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(change)
        difference = differences(before, await read(connection), "before", "after")
        await transaction.rollback()
        return difference
    finally:
        await connection.close()
