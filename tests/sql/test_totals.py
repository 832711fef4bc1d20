"""Totals that every write keeps: equal to a fresh count, and seen by those whom they concern."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from supabase_local.postgres import Postgres
from tests.database import Database
from tests.sql.conftest import Objects, Pipeline, failed, found
from tests.sql.test_searching import add

TENANTS = (UUID(int=1), UUID(int=2), None)
LABELS = ("screenshot", "panorama", "square")


def totals(database: Database, bucket: str, tenant: UUID | None = None) -> dict[str, Any]:
    """`facet/value` to (objects, bytes), without those that came to nothing."""
    rows = database.rows(
        "select * from public.media_totals where bucket = $1 and scope = $2",
        bucket,
        str(tenant or ""),
    )
    return {
        f"{row['facet']}/{row['value']}": (row["objects"], row["size_bytes"])
        for row in rows
        if row["objects"]
    }


def counted(database: Database, bucket: str, tenant: UUID | None = None) -> dict[str, Any]:
    """The same, by a look at all assets, and without any of the functions that keep the totals."""
    objects: Counter[str] = Counter()
    size_bytes: Counter[str] = Counter()
    contents: dict[tuple[UUID | None, str], list[int]] = {}
    for row in database.rows(
        "select * from public.media_assets where bucket = $1 and gone_at is null", bucket
    ):
        if tenant not in (None, row["tenant_id"]):
            continue
        keys = [f"status/{row['status']}", f"kind/{row['kind']}"]
        keys += [f"label/{label}" for label in set(row["labels"] or [])]
        keys += [f"warning/{warning}" for warning in set(row["warnings"] or [])]
        if row["has_location"] or row["latitude"] is not None:
            keys.append("location/present")
        if (row["status"], row["kind"]) == ("enriched", "image") and not row["alt_text"]:
            keys.append("alt_text/absent")
        size = row["size_bytes"] or 0
        objects.update(keys)
        for key in keys:
            size_bytes[key] += size
        if row["sha256"]:
            contents.setdefault((row["tenant_id"], row["sha256"]), []).append(size)
    for sizes in contents.values():
        if len(sizes) > 1:
            objects["copy/redundant"] += len(sizes) - 1
            size_bytes["copy/redundant"] += sum(sizes) - sum(sizes) // len(sizes)
    return {key: (objects[key], size_bytes[key]) for key in objects}


def assert_exact(database: Database, bucket: str) -> None:
    for tenant in (None, *TENANTS[:2]):
        assert totals(database, bucket, tenant) == counted(database, bucket, tenant)
    contents = database.rows(
        "select tenant, sha256, objects from media_enricher.contents where bucket = $1", bucket
    )
    assets = database.rows(
        "select coalesce(tenant_id::text, '') as tenant, sha256, count(*) as objects"
        " from public.media_assets where bucket = $1 and gone_at is null and sha256 is not null"
        " group by 1, 2",
        bucket,
    )
    assert sorted(map(str, contents)) == sorted(map(str, assets))


def columns(chance: random.Random) -> dict[str, Any]:
    """What may be in a row: often the same as in others, so that copies come and go."""
    status = chance.choice(["enriched", "enriched", "enriched", "unsupported", "failed"])
    return {
        "status": status,
        "error_code": "corrupt" if status == "failed" else None,
        "kind": chance.choice(["image", "image", "video", "other"]),
        "tenant_id": chance.choice(TENANTS),
        "size_bytes": chance.choice([None, 0, 7, 1000, 2**40]),
        "sha256": chance.choice([None, "a" * 64, "b" * 64, "c" * 64]),
        "labels": chance.choice([None, [], ["square"], ["square", "square"], list(LABELS)]),
        "warnings": chance.choice([None, ["damaged"]]),
        "has_location": chance.choice([None, False, True]),
        "latitude": chance.choice([None, 1.5]),
        "alt_text": chance.choice([None, "", "a hat"]),
    }


def upsert(database: Database, bucket: str, rows: dict[str, dict[str, Any]]) -> None:
    """As the pipeline writes: rows that are new and rows that are not, in one statement."""
    names = list(next(iter(rows.values())))
    given = [value for path, row in rows.items() for value in (path, *row.values())]
    places = iter(range(2, 2 + len(given)))
    values = ", ".join(
        "($1, 'full', 1, " + ", ".join(f"${next(places)}" for _ in range(1 + len(names))) + ")"
        for _ in rows
    )
    database.rows(
        f"insert into public.media_assets (bucket, depth, enricher_version, path,"
        f" {', '.join(names)}) values {values} on conflict (bucket, path) do update set"
        f" gone_at = null, {', '.join(f'{name} = excluded.{name}' for name in names)}",
        bucket,
        *given,
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_totals_equal_a_fresh_count_whatever_was_written(
    database: Database, objects: Objects, seed: int
) -> None:
    chance, bucket = random.Random(seed), objects.bucket
    paths = [f"{number:02}.jpg" for number in range(30)]
    for _ in range(25):
        some = chance.sample(paths, chance.randint(1, 12))
        match chance.choice(["upsert", "upsert", "gone", "back", "delete", "touch"]):
            case "upsert":
                upsert(database, bucket, {path: columns(chance) for path in some})
            case "delete":
                database.rows(
                    "delete from public.media_assets where bucket = $1 and path = any ($2)",
                    bucket,
                    some,
                )
            case verb:
                change = {
                    "gone": "gone_at = now()",
                    "back": "gone_at = null",
                    "touch": "attempts = 9",
                }
                database.rows(
                    f"update public.media_assets set {change[verb]}"
                    " where bucket = $1 and path = any ($2)",
                    bucket,
                    some,
                )
        assert_exact(database, bucket)


def test_an_object_that_moves_to_another_bucket_counts_there(database: Database) -> None:
    here, there = f"bucket-{uuid4().hex[:12]}", f"bucket-{uuid4().hex[:12]}"
    add(database, here, "a.jpg", kind="image", size_bytes=5, sha256="a" * 64)
    database.rows("update public.media_assets set bucket = $2 where bucket = $1", here, there)
    assert totals(database, here) == {}
    assert_exact(database, there)


def test_a_write_of_nothing_and_one_that_changes_nothing_leave_totals_as_they_are(
    database: Database, objects: Objects
) -> None:
    add(database, objects.bucket, "a.jpg", kind="image", size_bytes=5)
    version = (
        "select array_agg(xmin::text order by facet) from public.media_totals where bucket = $1"
    )
    before = database.value(version, objects.bucket)
    database.rows("update public.media_assets set attempts = 2 where bucket = $1", objects.bucket)
    database.rows("update public.media_assets set attempts = 2 where bucket = 'no-such'")
    assert database.value(version, objects.bucket) == before


def test_the_pipelines_writes_are_counted(
    database: Database, objects: Objects, pipeline: Pipeline
) -> None:
    objects.put("a.jpg", "b.jpg", "c.jpg", "d.jpg")
    same: dict[str, Any] = {"sha256": "a" * 64, "labels": ["square"]}
    pipeline.record(found("a.jpg", **same), found("b.jpg", **same), failed("c.jpg", "network"))
    assert totals(database, objects.bucket)["copy/redundant"] == (1, 1000)
    assert totals(database, objects.bucket)["status/failed"] == (1, 1000)
    objects.delete("a.jpg")
    pipeline.mark_gone()
    assert "copy/redundant" not in totals(database, objects.bucket)
    pipeline.record(found("c.jpg", **same), found("d.jpg", kind="video", sha256="b" * 64))
    assert totals(database, objects.bucket)["status/enriched"] == (3, 3000)
    assert_exact(database, objects.bucket)


def test_writers_of_the_same_contents_at_once_neither_lose_a_count_nor_stop_each_other(
    postgres: Postgres, database: Database, objects: Objects
) -> None:
    """Half the rows of each statement are new, so it counts twice: what changed, and what came."""
    contents = [f"{number:064x}" for number in range(40)]

    async def write(writer: int) -> None:
        connection = await asyncpg.connect(postgres.url())
        for turn in range(12):
            shift = (7 * writer + 13 * turn) % 40
            await connection.execute(
                "insert into public.media_assets (bucket, path, status, depth, enricher_version,"
                " sha256, size_bytes) select $1, $2 || (n + $3), 'enriched', 'full', 1, sha, 10"
                " from unnest($4::text[]) with ordinality as given (sha, n)"
                " on conflict (bucket, path) do update set sha256 = excluded.sha256",
                objects.bucket,
                f"{writer}/",
                20 * turn,
                contents[shift:] + contents[:shift],
            )
        await connection.close()

    async def write_all() -> None:
        await asyncio.gather(*map(write, range(6)))

    asyncio.run(write_all())
    assert_exact(database, objects.bucket)
    assert totals(database, objects.bucket)["status/enriched"][0] == 6 * (40 + 11 * 20)


def test_counting_anew_puts_right_what_was_written_past_the_triggers(
    database: Database, superuser: Database, objects: Objects
) -> None:
    add(database, objects.bucket, "a.jpg", kind="image", size_bytes=5, sha256="a" * 64)
    superuser.run(
        "set session_replication_role = replica; update public.media_assets set"
        f" kind = 'video', sha256 = repeat('b', 64) where bucket = '{objects.bucket}'"
    )
    assert "kind/image" in totals(database, objects.bucket)
    database.rows("select public.media_recount($1)", objects.bucket)
    assert_exact(database, objects.bucket)
    assert totals(database, objects.bucket)["kind/video"] == (1, 5)


def recount_piece(database: Database, bucket: str, rows: int) -> tuple[int, bool]:
    (piece,) = database.rows("select * from public.media_recount_piece($1, $2)", bucket, rows)
    return piece["objects"], piece["is_last"]


def spoil(database: Database, superuser: Database, bucket: str) -> None:
    """Rows of all sorts, and totals that count what is no more and know nothing of the rest."""
    chance = random.Random(14)
    upsert(database, bucket, {f"{number:02}": columns(chance) for number in range(40)})
    superuser.run(
        "set session_replication_role = replica; update public.media_assets set kind = 'video',"
        f" sha256 = repeat('d', 64), labels = null where bucket = '{bucket}' and path < '25';"
        f" delete from public.media_assets where bucket = '{bucket}' and path like '%7'"
    )
    assert totals(database, bucket) != counted(database, bucket)


@pytest.mark.parametrize("rows", [1, 3, 36, 37, 1000])
def test_a_bucket_is_counted_anew_in_pieces(
    database: Database, superuser: Database, objects: Objects, rows: int
) -> None:
    spoil(database, superuser, objects.bucket)
    pieces = [recount_piece(database, objects.bucket, rows)]
    while not pieces[-1][1]:
        pieces.append(recount_piece(database, objects.bucket, rows))
    assert pieces[-1] == (36, True)
    assert all(after[0] - before[0] <= rows for before, after in pairwise(pieces))
    assert_exact(database, objects.bucket)
    assert not database.rows(
        "select from media_enricher.recounts where bucket = $1", objects.bucket
    )


def test_what_is_written_between_the_pieces_of_a_count_is_counted_once(
    database: Database, superuser: Database, objects: Objects
) -> None:
    """Before the place and behind it, moved across it, deleted, and marked as gone."""
    bucket, chance = objects.bucket, random.Random(5)
    spoil(database, superuser, bucket)
    for _ in range(200):
        paths = [f"{number:02}" for number in chance.sample(range(60), 8)]
        upsert(database, bucket, {path: columns(chance) for path in paths[:4]})
        database.rows(
            "delete from public.media_assets where bucket = $1 and path = $2", bucket, paths[4]
        )
        database.rows(
            "update public.media_assets set gone_at = now() where bucket = $1 and path = $2",
            *(bucket, paths[5]),
        )
        database.rows(
            "update public.media_assets a set path = $2 where bucket = $1 and path = $3"
            " and not exists (select from public.media_assets where bucket = $1 and path = $2)",
            *(bucket, paths[6], paths[7]),
        )
        _, is_last = recount_piece(database, bucket, 3)
        if is_last:
            break
    assert is_last
    assert_exact(database, bucket)


def test_writers_and_a_count_at_the_same_time_neither_lose_a_row_nor_stop_each_other(
    postgres: Postgres, database: Database, superuser: Database, objects: Objects
) -> None:
    bucket = objects.bucket
    spoil(database, superuser, bucket)

    async def write(writer: int) -> None:
        connection = await asyncpg.connect(postgres.url())
        for turn in range(15):
            await connection.execute(
                "insert into public.media_assets (bucket, path, status, depth, enricher_version,"
                " sha256, size_bytes) select $1, to_char(n * 7 % 90, 'FM00') || $2, 'enriched',"
                " 'full', 1, repeat('e', 64), n from generate_series($3::int, $3 + 5) n"
                " on conflict (bucket, path) do update set size_bytes = excluded.size_bytes",
                *(bucket, str(writer % 2), 3 * turn),
            )
        await connection.close()

    async def count() -> None:
        connection = await asyncpg.connect(postgres.url())
        for _ in range(3):
            while not await connection.fetchval(
                "select is_last from public.media_recount_piece($1, 2)", bucket
            ):
                pass
        await connection.close()

    async def all_at_once() -> None:
        await asyncio.gather(count(), *map(write, range(4)))

    asyncio.run(all_at_once())
    assert_exact(database, bucket)


def test_a_count_that_was_interrupted_goes_on_or_begins_anew(
    database: Database, superuser: Database, objects: Objects
) -> None:
    spoil(database, superuser, objects.bucket)
    while recount_piece(database, objects.bucket, 10)[0] < 20:
        pass
    assert recount_piece(database, objects.bucket, 100) == (36, True)
    assert_exact(database, objects.bucket)
    recount_piece(database, objects.bucket, 30)
    database.rows("select public.media_recount($1)", objects.bucket)
    assert_exact(database, objects.bucket)


def count_missing(database: Database, bucket: str) -> tuple[int, int]:
    (row,) = database.rows(
        "select * from public.media_count_missing($1, 'full', 1, array['network'], 3)", bucket
    )
    return row["objects"], row["size_bytes"]


def test_what_is_missing_is_counted_in_all_and_for_each_tenant(
    database: Database, objects: Objects, pipeline: Pipeline
) -> None:
    tenant = TENANTS[0]
    objects.put("a.jpg", "b.jpg", f"{tenant}/c.jpg")
    pipeline.record(found("a.jpg"), found("b.jpg"))
    objects.put("b.jpg", content="other bytes", size=7)
    assert count_missing(database, objects.bucket) == (2, 1007) == pipeline.count()
    whole, share = totals(database, objects.bucket), totals(database, objects.bucket, tenant)
    assert (whole["pending/missing"], whole["pending/unrecorded"]) == ((2, 1007), (1, 1000))
    assert (share["pending/missing"], share["pending/unrecorded"]) == ((1, 1000), (1, 1000))

    pipeline.record(found("b.jpg", content="other bytes"), found(f"{tenant}/c.jpg"))
    assert count_missing(database, objects.bucket) == (0, 0)
    assert count_missing(database, "no-such-bucket") == (0, 0)
    (row,) = dashboard(database, objects.bucket)
    pending = [each for each in row["totals"] if each["facet"] == "pending"]
    assert [each["objects"] for each in pending] == [0, 0]
    assert all(each["counted_at"] for each in pending)


def dashboard(database: Database, bucket: str, tenant: UUID | None = None) -> list[dict[str, Any]]:
    rows = database.rows(
        "select * from public.media_dashboard($2) where bucket = $1", bucket, tenant
    )
    return [row | {"totals": json.loads(row["totals"])} for row in rows]


def test_the_dashboard_has_every_bucket_and_a_tenants_only_theirs(
    database: Database, objects: Objects
) -> None:
    assert [(row["is_public"], row["totals"]) for row in dashboard(database, objects.bucket)] == [
        (False, [])
    ]
    assert dashboard(database, objects.bucket, TENANTS[0]) == []
    assert dashboard(database, "media-enricher-results") == []
    add(database, objects.bucket, "a.jpg", kind="image", size_bytes=5)
    assert dashboard(database, objects.bucket, TENANTS[0]) == []
    add(database, objects.bucket, "b.jpg", kind="image", size_bytes=7, tenant_id=TENANTS[0])
    (whole,), (share,) = (
        dashboard(database, objects.bucket, tenant) for tenant in (None, TENANTS[0])
    )
    assert {
        "facet": "kind",
        "value": "image",
        "objects": 2,
        "size_bytes": 12,
        "counted_at": None,
    } in whole["totals"]
    assert {
        "facet": "kind",
        "value": "image",
        "objects": 1,
        "size_bytes": 7,
        "counted_at": None,
    } in share["totals"]


def test_a_user_reads_the_totals_of_their_tenant_and_no_other(
    database: Database, objects: Objects
) -> None:
    for number, tenant in enumerate(TENANTS):
        add(database, objects.bucket, f"{number}.jpg", tenant_id=tenant, user_id=UUID(int=9))
    claims = f'{{"sub": "{UUID(int=9)}", "app_metadata": {{"tenant_id": "{TENANTS[0]}"}}}}'
    database.run(f"begin; set local request.jwt.claims = '{claims}'; set local role authenticated")
    try:
        seen = database.rows("select * from public.media_totals where bucket = $1", objects.bucket)
        assert {row["tenant_id"] for row in seen} == {TENANTS[0]}
        assert {row["objects"] for row in seen} == {1}
        database.run("set local request.jwt.claims = '{}'")
        assert database.rows("select * from public.media_totals") == []
    finally:
        database.run("rollback")
