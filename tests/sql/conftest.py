"""A migrated database without the rest of the stack, and objects to put into it."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from media_enricher import migrations
from supabase_local.postgres import SUPERUSER, Postgres, running_postgres
from tests.database import Database


class Objects:
    """A bucket of rows in `storage.objects`, without bytes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.bucket = f"bucket-{uuid4().hex[:12]}"
        database.rows("insert into storage.buckets (id, name) values ($1, $1)", self.bucket)

    def put(
        self,
        *paths: str,
        content: str = "content",
        owner: str | None = None,
        etag: str | None = None,
        size: float = 1000,
        content_type: str | None = "image/jpeg",
    ) -> None:
        """Upload, over existing objects too."""
        etag = etag or etag_of(content)
        metadata = {"eTag": etag, "size": size, "mimetype": content_type}
        self._database.rows(
            """
            insert into storage.objects (bucket_id, name, owner_id, metadata, version)
            select $1, path, $3, $4::jsonb, gen_random_uuid()::text
            from unnest($2::text[]) as path
            on conflict (bucket_id, name) do update set
              owner_id = excluded.owner_id, metadata = excluded.metadata, version = excluded.version
            """,
            self.bucket,
            list(paths),
            owner,
            json.dumps(metadata),
        )

    def delete(self, *paths: str) -> None:
        self._database.run("set storage.allow_delete_query = 'true'")
        self._database.rows(
            "delete from storage.objects where bucket_id = $1 and name = any ($2)",
            self.bucket,
            list(paths),
        )


class Pipeline:
    """The functions that the pipeline calls, for one bucket."""

    def __init__(self, database: Database, objects: Objects) -> None:
        self._database = database
        self.bucket = objects.bucket

    def pending(
        self,
        *,
        prefix: str = "",
        mode: str = "missing",
        depth: str = "full",
        version: int = 1,
        max_attempts: int = 3,
        after: str = "",
        limit: int = 1000,
        until: str = "",
    ) -> list[dict[str, Any]]:
        return self._database.rows(
            "select * from public.media_pending_objects($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            *(self.bucket, prefix, mode, depth, version, ["network"], max_attempts),
            *(after, limit, until),
        )

    def paths(self, **question: Any) -> list[str]:
        return [row["path"] for row in self.pending(**question)]

    def count(
        self,
        *,
        mode: str = "missing",
        prefix: str = "",
        limit: int | None = None,
        after: str = "",
        until: str = "",
    ) -> Any:
        (row,) = self._database.rows(
            "select * from public.media_count_pending($1, $2, $3, 'full', 1, $4, 3, $5, $6, $7)",
            *(self.bucket, prefix, mode, ["network"], limit, after, until),
        )
        return row["objects"], row["size_bytes"]

    def split(
        self,
        shards: int,
        *,
        prefix: str = "",
        mode: str = "missing",
        depth: str = "full",
        after: str = "",
    ) -> list[dict[str, Any]]:
        return self._database.rows(
            "select * from public.media_split_pending($1, $2, $3, $4, 1, $5, 3, $6, $7)",
            *(self.bucket, prefix, mode, depth, ["network"], shards, after),
        )

    def mark_gone(self, prefix: str = "", after: str = "", until: str = "") -> int:
        marked = self._database.value(
            "select public.media_mark_gone($1, $2, $3, $4)", self.bucket, prefix, after, until
        )
        assert isinstance(marked, int)
        return marked

    def record(self, *assets: dict[str, Any], run_id: str | None = None) -> list[str]:
        return self._database.column(
            "select public.media_record_assets($1, $2, $3::json, $4)",
            *(run_id or str(uuid4()), self.bucket, json.dumps(assets), ["network", "timeout"]),
        )

    def asset(self, path: str) -> dict[str, Any]:
        (row,) = self._database.rows(
            "select * from public.media_assets where bucket = $1 and path = $2", self.bucket, path
        )
        return row


def etag_of(content: str) -> str:
    """As Storage gives it: quoted."""
    return f'"{hashlib.md5(content.encode()).hexdigest()}"'


def found(path: str, content: str = "content", **columns: Any) -> dict[str, Any]:
    """What a look at an object's bytes found, as the pipeline sends it."""
    return {
        "path": path,
        "etag": etag_of(content),
        "size_bytes": 1000,
        "declared_content_type": "image/jpeg",
        "depth": "full",
        "enricher_version": 1,
        "status": "enriched",
        "kind": "image",
    } | columns


def failed(path: str, code: str, content: str = "content", **columns: Any) -> dict[str, Any]:
    """A look that failed."""
    return found(path, content, status="failed", error_code=code, kind=None) | columns


@pytest.fixture(scope="session")
def postgres(needs_stack: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with running_postgres(tmp_path_factory.mktemp("sql")) as server:
        migrations.apply(server.url())
        yield server


@pytest.fixture(scope="session")
def database(postgres: Postgres) -> Iterator[Database]:
    """As `postgres`, the role that migrations run as; no superuser, as on a hosted project."""
    connected = Database(postgres.url())
    yield connected
    connected.close()


@pytest.fixture
def superuser(postgres: Postgres) -> Iterator[Database]:
    connected = Database(postgres.url(SUPERUSER))
    yield connected
    connected.close()


@pytest.fixture
def objects(database: Database) -> Objects:
    return Objects(database)


@pytest.fixture
def pipeline(database: Database, objects: Objects) -> Pipeline:
    return Pipeline(database, objects)


@pytest.fixture(scope="session")
def empty_server(needs_stack: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a server that nothing was applied to, which does not run."""
    folder = tmp_path_factory.mktemp("empty")
    with running_postgres(folder):
        return folder


@pytest.fixture
def fresh_postgres(
    empty_server: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Postgres]:
    """One that nothing was applied to: a copy, which takes a third of what making one does."""
    folder = tmp_path_factory.mktemp("fresh") / "server"
    # Not by shutil: Postgres's files belong to a user of its own.
    subprocess.run(["cp", "--archive", "--reflink=auto", empty_server, folder], check=True)
    with running_postgres(folder) as server:
        yield server
