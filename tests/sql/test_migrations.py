"""Migrations: repeatable, one at a time, never changed after the fact, and at home on Supabase."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from media_enricher import migrations, settings
from media_enricher.cli import app
from media_enricher.migrations import MigrationError
from supabase_local.postgres import Postgres
from tests.database import Database

OURS = sorted(file.name for file in migrations.FOLDER.glob("*.sql"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "20300101000000_one.sql").write_text("create schema one;")
    (tmp_path / "20300101000100_two.sql").write_text("create schema two;")
    return tmp_path


def test_applied_once_and_in_order(fresh_postgres: Postgres) -> None:
    url = fresh_postgres.url()
    assert migrations.pending(url) == OURS
    assert migrations.apply(url) == OURS
    assert migrations.pending(url) == []
    assert migrations.apply(url) == []


def test_many_at_once_take_turns(fresh_postgres: Postgres) -> None:
    applied: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: applied.append(migrations.apply(fresh_postgres.url())))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(applied) == [[], [], [], OURS]


def test_a_later_file_is_applied_alone(fresh_postgres: Postgres, folder: Path) -> None:
    url = fresh_postgres.url()
    migrations.apply(url, folder)
    (folder / "20300101000200_three.sql").write_text("create schema three;")
    assert migrations.pending(url, folder) == ["20300101000200_three.sql"]
    assert migrations.apply(url, folder) == ["20300101000200_three.sql"]


def test_an_operators_tenants_outlive_an_update(fresh_postgres: Postgres, tmp_path: Path) -> None:
    """The function is theirs to replace, and so no later file may replace it again."""
    url = fresh_postgres.url()
    first = [name for name in OURS if name < "20261130110000"]
    for name in first:
        (tmp_path / name).write_text((migrations.FOLDER / name).read_text())
    assert migrations.apply(url, tmp_path) == first
    database = Database(url)
    tenant = "7e1a7000-0000-4000-8000-000000000000"
    database.run(
        "create or replace function public.media_tenant_id(p_bucket text, p_path text) returns uuid"
        f" language sql stable set search_path = '' as $$ select '{tenant}'::uuid $$"
    )
    migrations.apply(url)
    assert str(database.value("select public.media_tenant_id('b', 'a.jpg')")) == tenant
    database.close()


def test_a_changed_file_is_refused(fresh_postgres: Postgres, folder: Path) -> None:
    url = fresh_postgres.url()
    migrations.apply(url, folder)
    (folder / "20300101000000_one.sql").write_text("create schema uno;")
    (folder / "20300101000200_three.sql").write_text("create schema three;")
    for attempt in (migrations.apply, migrations.pending):
        with pytest.raises(MigrationError, match=r"20300101000000_one\.sql was changed"):
            attempt(url, folder)
    database = Database(url)
    assert database.value("select to_regnamespace('three')") is None
    database.close()


def test_a_failing_file_leaves_nothing_and_is_named_with_its_line(
    fresh_postgres: Postgres, folder: Path
) -> None:
    url = fresh_postgres.url()
    bad = folder / "20300101000200_bad.sql"
    bad.write_text("create schema half;\n\nselect no_such_function();\n")
    with pytest.raises(MigrationError, match=r"20300101000200_bad\.sql failed.*\(line 3\)"):
        migrations.apply(url, folder)
    database = Database(url)
    assert database.value("select to_regnamespace('half')") is None
    assert database.value("select to_regnamespace('two')") is not None
    database.close()
    bad.write_text("create schema whole;")
    assert migrations.apply(url, folder) == ["20300101000200_bad.sql"]


def test_names_say_when_they_come(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="no migrations"):
        migrations.load(tmp_path)
    (tmp_path / "1_one.sql").touch()
    with pytest.raises(MigrationError, match=r"1_one\.sql is no name of a migration"):
        migrations.load(tmp_path)
    (tmp_path / "1_one.sql").unlink()
    (tmp_path / "20300101000000_one.sql").touch()
    (tmp_path / "20300101000000_two.sql").touch()
    with pytest.raises(MigrationError, match="the same timestamp"):
        migrations.load(tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://postgres:s3cret-word@127.0.0.1:1/postgres",
        "postgresql://postgres:s3cret-word@[broken:1/postgres",
        "mysql://postgres:s3cret-word@127.0.0.1:1/postgres",
    ],
)
def test_no_password_in_what_goes_wrong(url: str) -> None:
    with pytest.raises(MigrationError, match="can't connect") as caught:
        migrations.apply(url)
    assert "s3cret-word" not in str(caught.value)


def test_a_wrong_password_is_told_without_it(postgres: Postgres) -> None:
    url = postgres.url().replace("postgres:", "postgres:s3cret-word", 1)
    url = f"postgresql://postgres:s3cret-word@127.0.0.1:{postgres.port}/postgres"
    with pytest.raises(MigrationError, match="password authentication failed") as caught:
        migrations.apply(url)
    assert "s3cret-word" not in str(caught.value)


def test_the_role_is_no_superuser_and_storage_is_left_as_it_was(
    fresh_postgres: Postgres,
) -> None:
    in_storage = """
        select count(*) from (
          select oid from pg_class where relnamespace = 'storage'::regnamespace
          union all select oid from pg_proc where pronamespace = 'storage'::regnamespace
          union all select oid from pg_trigger where tgrelid = 'storage.objects'::regclass
        ) as things
    """
    database = Database(fresh_postgres.url())
    assert not database.value("select rolsuper from pg_roles where rolname = current_user")
    before = database.value(in_storage)
    migrations.apply(fresh_postgres.url())
    assert database.value(in_storage) == before
    database.close()


def test_the_command(fresh_postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", fresh_postgres.url())
    settings.database_settings.cache_clear()
    try:
        run = CliRunner().invoke
        assert f"would apply {OURS[0]}" in run(app, ["migrate", "--check"]).stdout
        done = run(app, ["migrate"])
        assert (done.exit_code, done.stdout.count("applied ")) == (0, len(OURS))
        again = run(app, ["migrate"])
        assert (again.exit_code, "up to date" in again.stdout) == (0, True)
        monkeypatch.setenv("DATABASE_URL", "postgresql://u:s3cret-word@127.0.0.1:1/x")
        settings.database_settings.cache_clear()
        failed = run(app, ["migrate"])
        assert failed.exit_code == 1
        assert "can't connect" in failed.stderr
        assert "s3cret-word" not in failed.output
    finally:
        settings.database_settings.cache_clear()
