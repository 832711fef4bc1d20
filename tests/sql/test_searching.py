"""What frontends ask of all media at once: by words and filters, look-alikes, counts by facet."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.database import Database

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


def facet_pages(
    database: Database, bucket: str, prefix: str = "", *, rows: int
) -> list[dict[str, Any]]:
    """All pages of facets, each of so many rows."""
    pages, after = [], ""
    while True:
        (page,) = database.rows(
            "select * from public.media_facets_page($1, $2, $3, $4)", bucket, prefix, after, rows
        )
        pages.append(page)
        if page["next_after"] is None:
            return pages
        assert page["next_after"] > after, "it goes on"
        after = page["next_after"]


def added_up(pages: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[int, int]]:
    """The objects and bytes of each value of each facet."""
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for each in (each for page in pages for each in json.loads(page["facets"])):
        key = each["facet"], each["value"]
        objects, size_bytes = sums.get(key, (0, 0))
        sums[key] = objects + each["objects"], size_bytes + each["size_bytes"]
    return sums


def facets(database: Database, bucket: str, prefix: str = "") -> dict[tuple[str, str], Any]:
    rows = database.rows("select * from public.media_facets($1, $2)", bucket, prefix)
    return {(row["facet"], row["value"]): (row["objects"], row["size_bytes"]) for row in rows}


def fill(database: Database, bucket: str, tenant: UUID) -> None:
    """Forty rows of all sorts; every third is the tenant's, every seventh is gone."""
    for number in range(40):
        add(
            *(database, bucket, f"{'ab'[number % 2]}/{number:02}"),
            kind=("image", "video")[number % 3 == 1],
            format=("jpeg", "png", None)[number % 3],
            labels=[None, ["square"], ["animated", "square"]][number % 3],
            size_bytes=None if number % 5 == 0 else number,
            tenant_id=tenant if number % 3 == 0 else None,
            gone_at=datetime.now(UTC) if number % 7 == 0 else None,
        )


@pytest.mark.parametrize("prefix", ["", "b/", "nowhere/"])
@pytest.mark.parametrize("rows", [1, 7, 20, 1000])
def test_pages_of_facets_add_up_to_all(
    database: Database, bucket: str, prefix: str, rows: int
) -> None:
    fill(database, bucket, uuid4())
    whole = facets(database, bucket, prefix)
    pages = facet_pages(database, bucket, prefix, rows=rows)
    assert added_up(pages) == whole
    assert max(page["objects"] for page in pages) <= rows
    of_all_kinds = sum(objects for (facet, _), (objects, _) in whole.items() if facet == "kind")
    assert sum(page["objects"] for page in pages) == of_all_kinds


@pytest.mark.parametrize(("rows", "pages"), [(1, 15), (2, 8), (3, 1)])
def test_pages_of_facets_are_of_what_the_caller_may_see(
    database: Database, bucket: str, rows: int, pages: int
) -> None:
    """All of it is one page where it is at most five times the rows of a page."""
    tenant = uuid4()
    fill(database, bucket, tenant)
    claims = {"sub": str(uuid4()), "app_metadata": {"tenant_id": str(tenant)}}
    database.run("begin; set local role authenticated")
    try:
        database.rows("select set_config('request.jwt.claims', $1, true)", json.dumps(claims))
        found = facet_pages(database, bucket, rows=rows)
        whole = facets(database, bucket)
    finally:
        database.run("rollback")
    assert added_up(found) == whole
    assert sum(page["objects"] for page in found) == 12
    assert len(found) == pages
    own = [f"{'ab'[number % 2]}/{number:02}" for number in range(0, 40, 3)]
    assert {page["next_after"] for page in found[:-1]} <= set(own), "no path of another's"


def test_objects_that_come_and_go_between_pages_are_counted_once_or_not_at_all(
    database: Database, bucket: str
) -> None:
    for path in ("a", "c", "e", "g"):
        add(database, bucket, path, kind="image", size_bytes=1)
    ask = "select * from public.media_facets_page($1, '', $2, 2)"
    (first,) = database.rows(ask, bucket, "")
    assert first["next_after"] == "c"
    add(database, bucket, "b", kind="video", size_bytes=1)  # behind the place
    add(database, bucket, "d", kind="audio", size_bytes=1)
    database.rows(
        "delete from public.media_assets where bucket = $1 and path in ('c', 'e')", bucket
    )
    (second,) = database.rows(ask, bucket, first["next_after"])
    (last,) = database.rows(ask, bucket, second["next_after"])
    kinds = {
        each[1]: n for each, (n, _) in added_up([first, second, last]).items() if each[0] == "kind"
    }
    assert (kinds, last["next_after"]) == ({"image": 3, "audio": 1}, None)


@pytest.mark.parametrize("rows", [0, -1, 1_000_001])
def test_a_page_of_facets_is_neither_empty_nor_endless(database: Database, rows: int) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match=f"max_objects is {rows}"):
        database.rows("select * from public.media_facets_page('b', max_objects => $1)", rows)


def search(database: Database, bucket: str | None, **asked: Any) -> list[str]:
    """The paths that a search finds, in its order."""
    given = {"bucket": bucket, **asked}
    arguments = ", ".join(f"{name} => ${at}" for at, name in enumerate(given, 1))
    return database.column(f"select path from public.media_search({arguments})", *given.values())


@pytest.fixture
def library(database: Database, bucket: str) -> str:
    """A bucket with one asset of each sort."""
    add(database, bucket, "holidays/IMG_0012.jpg", kind="image", dominant_color="#1040d0",
        labels=["square", "it's \\ odd"], has_location=True,
        title="Sunset over Ötztal")  # fmt: skip
    add(database, bucket, "holidays/walk.mp4", kind="video", tags=["sea-side", "Sun"],
        dominant_color="#20a020", alt_text="a walk")  # fmt: skip
    add(database, bucket, "papers/plan.pdf", kind="document", warnings=["damaged"])
    add(database, bucket, "papers/plan_copy.pdf", kind="document", status="failed",
        error_code="corrupt", latitude=1.0)  # fmt: skip
    database.rows(
        "update public.media_assets set gone_at = now() where id = $1",
        add(database, bucket, "holidays/gone.jpg", kind="image"),
    )
    return bucket


SEARCHES = [
    ({}, "0012 walk plan copy"),
    ({"words": "holi"}, "0012 walk"),
    ({"words": "img_0012.jp"}, "0012"),
    ({"words": "ÖTZ sunset"}, "0012"),
    ({"words": "sun"}, "0012 walk"),
    ({"words": "side SEA"}, "walk"),
    ({"words": "set"}, ""),  # in the middle of a word
    ({"words": "plan copy"}, "copy"),
    ({"words": "  "}, "0012 walk plan copy"),
    ({"words": "--"}, ""),
    ({"words": "it's & ! ( \\"}, ""),
    ({"kind": "document"}, "plan copy"),
    ({"kind": "document", "words": "copy"}, "copy"),
    ({"status": "failed"}, "copy"),
    ({"label": "square"}, "0012"),
    ({"label": "it's \\ odd"}, "0012"),
    ({"label": "no'such"}, ""),
    ({"warning": "damaged"}, "plan"),
    ({"color": "blue"}, "0012"),
    ({"color": "green", "kind": "video"}, "walk"),
    ({"is_located": True}, "0012 copy"),
    ({"is_located": False}, "walk plan"),
    ({"lacks_alt_text": True}, "0012"),
    ({"lacks_alt_text": False}, "walk"),
    ({"is_copied": True}, ""),
]


@pytest.mark.parametrize("by_index", [True, False])
@pytest.mark.parametrize(("asked", "expected"), SEARCHES)
def test_a_search_finds_what_has_all_words_and_filters(
    database: Database, library: str, asked: dict[str, Any], expected: str, by_index: bool
) -> None:
    """By the index, as the gateway; and under row level security, as a user who owns it all."""
    if not by_index:
        owner = uuid4()
        database.rows(
            "update public.media_assets set user_id = $2 where bucket = $1", library, owner
        )
        database.run(f"""begin; set local request.jwt.claims = '{{"sub": "{owner}"}}'""")
        database.run("set local role authenticated")
    try:
        found = search(database, library, **asked)
    finally:
        if not by_index:
            database.run("rollback")
    assert len(found) == len(expected.split())
    assert all(word in path for word, path in zip(expected.split(), found, strict=True))


@pytest.mark.parametrize("is_copied", [None, True])
def test_a_search_goes_on_after_the_last_one_of_a_page(
    database: Database, bucket: str, is_copied: bool | None
) -> None:
    ids = {}
    for number in range(9):
        path = f"{number}.jpg"
        ids[path] = add(database, bucket, path, sha256=f"{(number % 4) // 2:064x}", size_bytes=10)
    pages: list[list[str]] = []
    for _ in range(6):
        after = ids[pages[-1][-1]] if pages else None
        pages.append(search(database, bucket, max_results=2, after=after, is_copied=is_copied))
    found = [path for page in pages for path in page]
    assert sorted(found) == sorted(ids)
    assert [len(page) for page in pages] == [2, 2, 2, 2, 1, 0]
    if is_copied:  # those of the same bytes stand together
        assert found == [f"{number}.jpg" for number in (0, 1, 4, 5, 8, 2, 3, 6, 7)]


def test_copies_are_told_apart_by_tenant(database: Database, bucket: str) -> None:
    for path in ("a", "b"):
        for tenant in (UUID(int=1), UUID(int=2), None):
            add(database, bucket, f"{path}{tenant}", tenant_id=tenant, sha256="a" * 64)
    add(database, bucket, "once", sha256="b" * 64)
    assert len(search(database, bucket, is_copied=True)) == 6
    assert len(search(database, bucket, is_copied=True, tenant_id=UUID(int=1))) == 2


def test_a_search_names_what_makes_no_sense_and_finds_nothing_after_what_is_not_there(
    database: Database, library: str
) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match="max_results is 0"):
        search(database, library, max_results=0)
    assert search(database, library, after=uuid4()) == []


@pytest.mark.parametrize(
    "columns",
    [
        {"title": "word " * 100_000},
        {"title": "x" * 5000},
        {"title": ""},
        {"tags": ["y" * 255] * 500},
        {"labels": ["", "z" * 2000]},
        {"labels": [], "warnings": []},
        {"dominant_color": "no hex!"[:7]},
        {"title": "\U0001f305 \u65e5\u672c \x7f \\ ' \" &|!:*<->"},
    ],
)
def test_whatever_a_file_claims_can_be_recorded(
    database: Database, bucket: str, columns: dict[str, Any]
) -> None:
    add(database, bucket, "a.jpg", **columns)
    assert search(database, bucket, words="a jp") == ["a.jpg"]


@pytest.mark.parametrize(
    ("name", "shades"),
    {
        "black": ["#000000", "#101820", "#303030"],
        "white": ["#ffffff", "#f5f5dc"],
        "gray": ["#808080", "#c0c0c0"],
        "brown": ["#8b4513", "#5c4033"],
        "red": ["#ff0000", "#8b0000", "#FF0000"],
        "orange": ["#ffa500"],
        "yellow": ["#ffff00", "#ffd700"],
        "green": ["#00ff00", "#006400"],
        "cyan": ["#00ffff", "#008080"],
        "blue": ["#0000ff", "#123456"],
        "purple": ["#800080", "#8a2be2"],
        "pink": ["#ffc0cb", "#ff69b4"],
        None: ["red", "", "#fff", "#gggggg", None],
    }.items(),
)
def test_colors_have_names(database: Database, name: str | None, shades: list[str | None]) -> None:
    named = database.column("select public.media_color_name(c) from unnest($1::text[]) c", shades)
    assert named == [name] * len(shades)


def test_all_punctuation_parts_words(database: Database) -> None:
    """Some is made a space before Postgres looks for words; the rest must be one to Postgres."""
    chance = random.Random(14)
    marks, letters = string.punctuation + " ", "abzAZ0e19xhtpw" + "éß日“—²"
    texts = [
        "".join(
            chance.choice(marks if chance.random() < 0.5 else letters)
            for _ in range(chance.randrange(1, 24))
        )
        for _ in range(20_000)
    ]
    different = database.column(
        "select t from unnest($1::text[]) t"
        " where public.media_search_words(t) <> to_tsvector('simple', translate(t, $2, $3))"
        " or public.media_search_terms(t, null, null, null, null, null, null, false, false)"
        " <> to_tsvector('simple', translate(t, $2, $3))",
        texts,
        string.punctuation,
        " " * len(string.punctuation),
    )
    assert different == []


def test_a_search_can_ask_the_index(database: Database, library: str) -> None:
    """The index holds the very expression that a search asks for; else all of it would be read."""
    database.rows(
        "insert into public.media_assets (bucket, path, status, depth, enricher_version)"
        " select $1, 'many/' || n, 'enriched', 'full', 1 from generate_series(1, 1000) n",
        library,
    )
    database.run("begin")
    try:
        for asked in ({"words": "ötztal"}, {"kind": "document", "words": "copy"}):
            before = _read_from_index(database)
            assert search(database, None, **asked)
            assert 0 < _read_from_index(database) - before < 500
    finally:
        database.run("rollback")


def _read_from_index(database: Database) -> int:
    """Entries of the search's index that this transaction has read."""
    entries = database.value(
        "select pg_stat_get_xact_tuples_returned('public.media_assets_search_idx'::regclass)"
    )
    assert isinstance(entries, int)
    return entries
