"""Rolling back is installing the version before, so what that one uses must outlive an upgrade."""

from __future__ import annotations

import shutil
from pathlib import Path

from media_enricher import migrations
from supabase_local.postgres import SUPERUSER, Postgres
from tests.database import Database

VERSIONS = sorted({file.name[:8] for file in migrations.FOLDER.glob("*.sql")})
"""Migrations of a day were released together."""

COLUMNS = """
    select format('%s.%s %s', table_name, column_name, data_type)
    from information_schema.columns
    where table_schema in ('public', 'audit') and table_name ~ '^(media|enricher)_'
"""
ARGUMENTS = """
    select p.proname::text as name,
      (coalesce(p.proargnames, '{}'))[1:p.pronargs]::text[] as arguments,
      p.pronargdefaults as defaults
    from pg_catalog.pg_proc p
    where p.pronamespace = 'public'::regnamespace and p.proname ~ '^media_'
"""


def calls(database: Database) -> list[tuple[str, frozenset[str], frozenset[str]]]:
    """Each function: its name, the names of its arguments, and of those that must be given."""
    return [
        (row["name"], frozenset(names), frozenset(names[: len(names) - row["defaults"]]))
        for row in database.rows(ARGUMENTS)
        for names in [row["arguments"]]
    ]


def test_what_a_version_uses_is_there_after_each_later_one(
    fresh_postgres: Postgres, tmp_path: Path
) -> None:
    used_columns: set[str] = set()
    used_calls: set[tuple[str, frozenset[str]]] = set()
    database = Database(fresh_postgres.url(SUPERUSER))
    for version in VERSIONS:
        for file in migrations.FOLDER.glob(f"{version}*.sql"):
            shutil.copy(file, tmp_path)
        migrations.apply(fresh_postgres.url(), tmp_path)

        columns, functions = set(database.column(COLUMNS)), calls(database)
        assert used_columns <= columns
        for name, given in used_calls:
            # As PostgREST chooses: by the names that are given.
            fitting = [
                arguments
                for function, arguments, required in functions
                if function == name and required <= given <= arguments
            ]
            assert len(fitting) == 1, (version, name, sorted(given))
        used_columns |= columns
        used_calls |= {
            (name, given)
            for name, arguments, required in functions
            for given in (arguments, required)
        }
    database.close()
    assert used_calls


def test_an_older_version_says_nothing_of_migrations_that_it_does_not_know(
    fresh_postgres: Postgres, tmp_path: Path
) -> None:
    url = fresh_postgres.url()
    migrations.apply(url)
    for file in migrations.FOLDER.glob(f"{VERSIONS[0]}*.sql"):
        shutil.copy(file, tmp_path)
    assert migrations.pending(url, tmp_path) == []
    assert migrations.apply(url, tmp_path) == []
