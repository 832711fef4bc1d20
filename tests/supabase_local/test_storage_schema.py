"""The tables of Storage are those of the real server (migration 0062), in older folders too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import asyncpg
import httpx
import pytest

from supabase_local import LocalStack
from supabase_local.postgres import SUPERUSER, Postgres, running_postgres
from tests.conftest import Put

VERSION_COLUMNS = {
    ("buckets", "versioning_status", "NO", "'DISABLED'::text"),
    ("objects", "archived_at", "YES", None),
    ("objects", "is_delete_marker", "NO", "false"),
    ("objects", "is_versioned", "NO", "false"),
}
FIND_VERSION_COLUMNS = """
    select table_name, column_name, is_nullable, column_default
    from information_schema.columns
    where table_schema = 'storage' and table_name in ('buckets', 'objects')
      and column_name = any ($1)
"""


def run_sql(url: str, *statements: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            async with connection.transaction():
                for statement in statements:
                    await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def version_columns(url: str) -> set[tuple[str, str, str, str | None]]:
    async def find() -> set[tuple[str, str, str, str | None]]:
        connection = await asyncpg.connect(url)
        try:
            names = [name for _, name, _, _ in VERSION_COLUMNS]
            return {tuple(row) for row in await connection.fetch(FIND_VERSION_COLUMNS, names)}
        finally:
            await connection.close()

    return asyncio.run(find())


def test_the_columns_of_versions(stack: LocalStack) -> None:
    assert version_columns(stack.database_url) == VERSION_COLUMNS


@pytest.mark.parametrize("status", ["'disabled'", "'ON'", "null", "'ENABLED', type = 'ANALYTICS'"])
def test_a_bucket_has_one_of_three_versioning_statuses(
    stack: LocalStack, make_bucket: Callable[[], str], status: str
) -> None:
    bucket = make_bucket()
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        run_sql(
            stack.database_url,
            f"update storage.buckets set versioning_status = {status} where id = '{bucket}'",
        )


@pytest.mark.parametrize("table", ["objects", "buckets"])
def test_rows_are_deleted_only_by_who_says_so(
    stack: LocalStack, make_bucket: Callable[[], str], table: str
) -> None:
    bucket = make_bucket()
    column = "bucket_id" if table == "objects" else "id"
    delete = f"delete from storage.{table} where {column} = '{bucket}'"
    for nothing_said in ("select 1", "set local storage.can_delete = 'true'"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="Use the Storage API"):
            run_sql(stack.database_url, nothing_said, delete)
    run_sql(stack.database_url, "set local storage.allow_delete_query = 'true'", delete)


@pytest.fixture
def versions(
    stack: LocalStack, http: httpx.Client, make_bucket: Callable[[], str], put: Put
) -> str:
    """A bucket with one object, an archived version of another, and the mark of a deleted one."""
    bucket = make_bucket()
    for path in ("current.txt", "archived.txt", "deleted.txt"):
        put(bucket, f"folder/{path}", b"bytes")
    run_sql(
        stack.database_url,
        f"update storage.objects set archived_at = now() where bucket_id = '{bucket}'"
        " and name like '%archived%'",
        f"update storage.objects set is_delete_marker = true where bucket_id = '{bucket}'"
        " and name like '%deleted%'",
    )
    return bucket


def test_archived_and_deleted_versions_are_not_objects(http: httpx.Client, versions: str) -> None:
    listed = http.post(f"/object/list/{versions}", json={"prefix": "folder"}).json()
    everything = http.post(f"/object/list-v2/{versions}", json={"prefix": ""}).json()
    assert [entry["name"] for entry in listed] == ["current.txt"]
    assert [entry["name"] for entry in everything["objects"]] == ["folder/current.txt"]

    for name, code in (("current", None), ("archived", "NoSuchKey"), ("deleted", "NoSuchKey")):
        path = f"{versions}/folder/{name}.txt"
        for url in (f"/object/authenticated/{path}", f"/object/info/{path}"):
            answer = http.get(url)
            assert (answer.json()["code"] if answer.is_error else None) == code, url

    signed = http.post(
        f"/object/sign/{versions}",
        json={"expiresIn": 60, "paths": ["folder/current.txt", "folder/archived.txt"]},
    ).json()
    assert [bool(entry["signedURL"]) for entry in signed] == [True, False]


def test_an_upload_makes_an_object_of_an_archived_one(
    http: httpx.Client, versions: str, put: Put
) -> None:
    put(versions, "folder/archived.txt", b"new")
    put(versions, "folder/deleted.txt", b"new")
    for name in ("archived", "deleted"):
        assert http.get(f"/object/authenticated/{versions}/folder/{name}.txt").content == b"new"


@pytest.fixture
def older_folder(needs_stack: None, tmp_path: Path) -> Path:
    """A database as a version of this package made it that knew nothing of versions."""
    with running_postgres(tmp_path) as server:
        run_sql(
            server.url(SUPERUSER),
            "alter table storage.objects drop archived_at, drop is_versioned",
            "alter table storage.objects drop is_delete_marker",
            "alter table storage.buckets drop versioning_status",
            """create or replace function storage.protect_delete() returns trigger
            language plpgsql as $$ begin return null; end $$""",
        )
    return tmp_path


def test_an_older_folder_is_brought_up_to_date(older_folder: Path) -> None:
    def opened(server: Postgres) -> set[tuple[str, str, str, str | None]]:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            run_sql(server.url(), "delete from storage.objects")
        return version_columns(server.url())

    for _ in range(2):  # and nothing happens to one that is
        with running_postgres(older_folder) as server:
            assert opened(server) == VERSION_COLUMNS
