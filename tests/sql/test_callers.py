"""Who reads what is theirs: row level security for callers of every kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from media_enricher import migrations
from supabase_local.postgres import Postgres
from tests.database import Database
from tests.sql.conftest import Objects, Pipeline, found

TENANT = "3f3a2a9e-009b-41a0-a162-d56c9b7eb75a"
UUID_USER = "0a5a7a70-0000-4000-8000-00000000ada0"
CLERK_USER = "user_2qY0aExample7kCl3rk"
AUTH0_USER = "auth0|5f7c8ec7c33c6c004bbafe82"
NUMBERED_USER = "4711"
OF_TENANT = f"{TENANT}/shared.jpg"

Reads = Callable[..., set[str]]


@pytest.fixture
def media(objects: Objects, pipeline: Pipeline) -> str:
    """A bucket with an object of each user, one of a tenant, and one of nobody."""
    owned = {
        "uuid.jpg": UUID_USER,
        "clerk.jpg": CLERK_USER,
        "auth0.jpg": AUTH0_USER,
        "numbered.jpg": NUMBERED_USER,
        "nobody.jpg": None,
        "empty.jpg": "",
        OF_TENANT: None,
    }
    for path, owner in owned.items():
        objects.put(path, owner=owner)
    pipeline.record(*(found(path) for path in owned))
    return objects.bucket


@pytest.fixture
def reads(database: Database, media: str) -> Reads:
    """What a signed-in user with these claims reads, as PostgREST asks for it."""

    def ask(claims: Any = None, *, raw: str | None = None, role: str = "authenticated") -> set[str]:
        told = json.dumps(claims) if raw is None else raw
        database.run("begin")
        try:
            if claims is not None or raw is not None:
                database.rows("select set_config('request.jwt.claims', $1, true)", told)
            database.run(f"set local role {role}")
            # The other table with a policy, too: it must answer, whatever there is in it.
            database.value("select count(id) from public.media_enrich_runs")
            return set(
                database.column("select path from public.media_assets where bucket = $1", media)
            )
        finally:
            database.run("rollback")

    return ask


def claims(sub: object, **changes: Any) -> dict[str, Any]:
    return {"sub": sub, "role": "authenticated", "aud": "authenticated"} | changes


@pytest.mark.parametrize(
    ("sub", "own"),
    [
        (UUID_USER, {"uuid.jpg"}),
        (UUID_USER.upper(), {"uuid.jpg"}),
        (CLERK_USER, {"clerk.jpg"}),
        (AUTH0_USER, {"auth0.jpg"}),
        (NUMBERED_USER, {"numbered.jpg"}),
        (int(NUMBERED_USER), {"numbered.jpg"}),
        (CLERK_USER.upper(), set()),
        ("somebody else", set()),
        ("' or true --", set()),
        ("", set()),
        (None, set()),
        ([CLERK_USER], set()),
        ({"id": CLERK_USER}, set()),
        (True, set()),
    ],
)
def test_everybody_reads_their_own_whatever_their_id_looks_like(
    reads: Reads, sub: object, own: set[str]
) -> None:
    assert reads(claims(sub)) == own
    assert reads(claims(sub, app_metadata={"tenant_id": TENANT})) == own | {OF_TENANT}


@pytest.mark.parametrize(
    "app_metadata",
    [None, "admin", 7, [], {}, {"tenant_id": None}, {"tenant_id": "acme"}, {"tenant_id": [TENANT]}],
)
def test_what_is_no_tenant_opens_nothing_and_hides_nothing(
    reads: Reads, app_metadata: object
) -> None:
    assert reads(claims(CLERK_USER, app_metadata=app_metadata)) == {"clerk.jpg"}


@pytest.mark.parametrize(
    "raw", ["", "null", "[]", '"text"', "7", "no JSON", "{", '{"sub": "\\u0000"}', "[" * 100_000]
)
def test_claims_that_are_none_read_nothing_and_raise_nothing(reads: Reads, raw: str) -> None:
    assert reads(raw=raw) == set()


def test_without_any_claims_nothing_is_read(reads: Reads) -> None:
    assert reads() == set()


def test_the_service_role_reads_all(reads: Reads) -> None:
    assert len(reads(role="service_role")) == 7


def test_a_user_who_is_asked_for_is_looked_up_once_and_by_index(
    database: Database, media: str
) -> None:
    """Not row by row: on a large table that is the difference between reading and waiting."""
    database.run("begin; set local enable_seqscan = off")
    try:
        database.rows(
            "select set_config('request.jwt.claims', $1, true)", json.dumps(claims(CLERK_USER))
        )
        database.run("set local role authenticated")
        plan = "\n".join(database.column("explain select path from public.media_assets"))
    finally:
        database.run("rollback")
    assert "media_assets_owner_id_idx" in plan
    assert "Seq Scan" not in plan


def test_owners_are_kept_as_storage_has_them(pipeline: Pipeline, media: str) -> None:
    kept = {
        path: (row["owner_id"], row["user_id"] and str(row["user_id"]))
        for path in ("uuid.jpg", "clerk.jpg", "nobody.jpg", "empty.jpg")
        for row in [pipeline.asset(path)]
    }
    assert kept == {
        "uuid.jpg": (UUID_USER, UUID_USER),
        "clerk.jpg": (CLERK_USER, None),
        "nobody.jpg": (None, None),
        "empty.jpg": (None, None),
    }


def test_an_owner_of_any_kind_who_changes_is_something_to_do(
    objects: Objects, pipeline: Pipeline, media: str
) -> None:
    assert pipeline.paths() == []
    objects.put("clerk.jpg", owner=AUTH0_USER)
    objects.put("nobody.jpg", owner=CLERK_USER)
    objects.put("auth0.jpg", owner=None)
    objects.put("uuid.jpg", owner=CLERK_USER)
    changed = ["auth0.jpg", "clerk.jpg", "nobody.jpg", "uuid.jpg"]
    assert pipeline.paths() == changed
    pipeline.record(*(found(path) for path in changed))
    assert pipeline.paths() == []


def test_an_upgrade_fills_in_owners_and_leaves_nothing_to_read_again(
    fresh_postgres: Postgres, tmp_path: Path
) -> None:
    for file in migrations.FOLDER.glob("*.sql"):
        if file.name < "20261128":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    migrations.apply(fresh_postgres.url(), tmp_path)
    database = Database(fresh_postgres.url())
    with_owners = {"uuid.jpg": UUID_USER, "clerk.jpg": CLERK_USER, "nobody.jpg": None}
    objects = Objects(database)
    pipeline = Pipeline(database, objects)
    for path, owner in with_owners.items():
        objects.put(path, owner=owner)
    pipeline.record(*(found(path) for path in with_owners))

    migrations.apply(fresh_postgres.url())
    database.close()
    database = Database(fresh_postgres.url())
    kept = {path: Pipeline(database, objects).asset(path)["owner_id"] for path in with_owners}
    pending = Pipeline(database, objects).paths()
    database.close()
    assert kept == {"uuid.jpg": None, "clerk.jpg": CLERK_USER, "nobody.jpg": None}
    assert pending == []
