"""What frontends ask of all media at once: look-alikes, and counts by facet."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.conftest import Database

MANY = 20_000
_HASHES = random.Random(7)


@pytest.fixture
def bucket() -> str:
    return f"bucket-{uuid4().hex[:12]}"


def add(database: Database, bucket: str, path: str, **columns: Any) -> UUID:
    """A row of media_assets; the id."""
    given = {"status": "enriched", "depth": "full", "enricher_version": 1, **columns}
    names = ", ".join(given)
    places = ", ".join(f"${number}" for number in range(3, 3 + len(given)))
    added = database.value(
        f"insert into public.media_assets (bucket, path, {names}) "
        f"values ($1, $2, {places}) returning id",
        bucket,
        path,
        *given.values(),
    )
    assert isinstance(added, UUID)
    return added


def flipped(phash: int, bits: int) -> str:
    """A hash that differs in so many bits, wherever."""
    for bit in _HASHES.sample(range(64), bits):
        phash ^= 1 << bit
    return f"{phash:016x}"


def similar(database: Database, asset: UUID, **more: int) -> list[tuple[int, str]]:
    arguments = "".join(f", {name} => {value}" for name, value in more.items())
    rows = database.rows(f"select * from public.similar_media($1{arguments})", asset)
    return [(row["distance"], row["path"]) for row in rows]


@pytest.mark.parametrize("most", [0, 3, 4, 8, 15])
def test_all_that_are_near_enough_are_found_and_no_other(
    database: Database, bucket: str, most: int
) -> None:
    phash = _HASHES.getrandbits(64)
    asset = add(database, bucket, "it", phash=f"{phash:016x}")
    expected = []
    for bits in range(most + 3):
        for number in range(5):
            path = f"{bits:02}/{number}"
            add(database, bucket, path, phash=flipped(phash, bits))
            expected.append((bits, path))
    found = similar(database, asset, max_distance=most, max_results=1000)
    assert found == [each for each in expected if each[0] <= most]
    assert similar(database, asset, max_distance=most, max_results=3) == found[:3]


def test_what_is_gone_or_has_no_hash_is_not_found(database: Database, bucket: str) -> None:
    asset = add(database, bucket, "it", phash="00ff" * 4)
    add(database, bucket, "there", phash="00ff" * 4)
    database.rows(
        "update public.media_assets set gone_at = now() where id = $1",
        add(database, bucket, "gone", phash="00ff" * 4),
    )
    bare = add(database, bucket, "bare")
    assert similar(database, asset) == [(0, "there")]
    assert similar(database, bare) == []
    assert similar(database, uuid4()) == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"max_distance": 16}, "max_distance is 16: it must be 0 to 15"),
        ({"max_distance": -1}, "max_distance is -1: it must be 0 to 15"),
        ({"max_results": 0}, "max_results is 0: it must be 1 to 1000"),
    ],
)
def test_an_argument_that_makes_no_sense_is_named(
    database: Database, arguments: dict[str, int], complaint: str
) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match=complaint):
        similar(database, uuid4(), **arguments)


@pytest.fixture
def reader(database: Database, bucket: str) -> Iterator[UUID]:
    """A signed-in user, who owns half of very many media; the id of one that they own."""
    user = uuid4()
    database.rows(
        "insert into public.media_assets"
        " (bucket, path, status, depth, enricher_version, phash, user_id)"
        " select $1, to_char(n, 'FM000000'), 'enriched', 'full', 1,"
        " substr(md5((n / 4)::text), 1, 16), case when n % 2 = 0 then $2::uuid end"
        " from generate_series(1, $3) n",
        bucket,
        user,
        MANY,
    )
    database.run("analyze public.media_assets")
    asset = database.value(
        "select id from public.media_assets where bucket = $1 and path = '000004'", bucket
    )
    claims = f'{{"sub": "{user}", "role": "authenticated"}}'
    database.run(f"begin; set local request.jwt.claims = '{claims}'; set local role authenticated")
    yield asset
    database.run("rollback")


def test_row_level_security_holds_and_the_indexes_are_used_all_the_same(
    database: Database, bucket: str, reader: UUID
) -> None:
    assert similar(database, reader) == [(0, "000006")]  # and not 000005 or 000007
    assert similar(database, uuid4()) == []
    plan = "\n".join(
        database.column(
            "explain select * from public.media_assets a where"
            " a.phash_band_1 = any (array[1, 2]) or a.phash_band_2 = any (array[1, 2])"
        )
    )
    assert "media_assets_phash_band_1_idx" in plan
    assert "media_assets_phash_band_2_idx" in plan


def test_facets_count_objects_and_bytes(database: Database, bucket: str) -> None:
    add(database, bucket, "a/1.jpg", kind="image", format="jpeg", size_bytes=10, labels=["square"])
    add(database, bucket, "a/2.jpg", kind="image", format="jpeg", size_bytes=20,
        labels=["animated", "square"], warnings=["damaged"])  # fmt: skip
    add(database, bucket, "a/3.mp4", kind="video", format="mp4", size_bytes=1000)
    add(database, bucket, "a/4.bin", status="failed", error_code="corrupt", size_bytes=None)
    add(database, bucket, "a_1.jpg", kind="image", format="png", size_bytes=5)
    rows = database.rows("select * from public.media_facets($1, $2)", bucket, "a/")
    assert [tuple(row.values()) for row in rows] == [
        ("format", "jpeg", 2, 30),
        ("format", "mp4", 1, 1000),
        ("kind", "image", 2, 30),
        ("kind", "other", 1, 0),
        ("kind", "video", 1, 1000),
        ("label", "square", 2, 30),
        ("label", "animated", 1, 20),
        ("status", "enriched", 3, 1030),
        ("status", "failed", 1, 0),
        ("warning", "damaged", 1, 20),
    ]
    everything = database.rows("select * from public.media_facets($1)", bucket)
    assert {row["value"]: row["objects"] for row in everything}["png"] == 1
    assert database.rows("select * from public.media_facets('no-such-bucket')") == []
