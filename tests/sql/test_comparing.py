"""Comparing a bucket in pieces: they equal the whole, end nowhere early, and sweeps take turns."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from media_enricher import change_feed
from tests.database import Database
from tests.sql.conftest import Objects, Pipeline, found

TENANTS = [f"00000000-0000-4000-8000-{number:012}" for number in range(20)]
NEXT = (
    "select * from public.media_compare_next_piece($1, 'full', 1, array['network'], 3, $2, $3, $4)"
)


class Comparing:
    """The functions that a sweep calls, for one bucket."""

    def __init__(self, database: Database, bucket: str) -> None:
        self._database, self.bucket = database, bucket

    def piece(self, rows: int, *, after: str = "", until: str = "") -> dict[str, Any]:
        (row,) = self._database.rows(
            "select * from public.media_compare_piece($1, '', 'missing', 'full', 1, $2, 3, $3, $4,"
            " $5, true)",
            *(self.bucket, ["network"], after, until, rows),
        )
        return row

    def pieces(self, rows: int) -> Iterator[dict[str, Any]]:
        after = ""
        while True:
            piece = self.piece(rows, after=after)
            yield piece
            if piece["is_last"]:
                return
            assert piece["until"] > after, "it goes on"
            after = piece["until"]

    def next(self) -> dict[str, Any]:
        (row,) = self._database.rows(
            "select * from public.media_next_comparison($1, $2, 3)", self.bucket, ["network"]
        )
        return row

    def step(
        self, number: int | None = None, *, rows: int = 1000, tenants: int = 1000
    ) -> dict[str, Any] | None:
        """Go on with a comparison, or begin one; None if another one has begun since."""
        steps = self._database.rows(NEXT, self.bucket, number, rows, tenants)
        return steps[0] if steps else None

    def steps(
        self, number: int | None = None, *, rows: int = 1000, tenants: int = 1000
    ) -> Iterator[dict[str, Any]]:
        """Go on with a comparison to its end."""
        for _ in range(1000):
            step = self.step(number, rows=rows, tenants=tenants)
            assert step, "nobody else compares"
            yield step
            number = step["number"]
            if step["is_complete"]:
                return
        raise AssertionError("it comes to no end")

    def whole(self) -> None:
        """Compare all of a small bucket."""
        step = self.step()
        assert step
        assert step["is_complete"]

    def totals(self) -> dict[str, tuple[int, int, int, int]]:
        """What is pending as it is stored: of all and of each tenant, and what is unrecorded."""
        rows = self._database.rows(
            "select m.scope, m.objects, m.size_bytes, u.objects as unrecorded,"
            " u.size_bytes as unrecorded_bytes"
            " from public.media_totals m full join public.media_totals u"
            " using (bucket, scope, facet)"
            " where bucket = $1 and facet = 'pending' and m.value = 'missing'"
            " and u.value = 'unrecorded'",
            self.bucket,
        )
        return {row.pop("scope"): tuple(row.values()) for row in rows}

    def counted_anew(self) -> dict[str, tuple[int, int, int, int]]:
        """The same, counted in one statement. It is stored, too."""
        self._database.rows(
            "select * from public.media_count_missing($1, 'full', 1, array['network'], 3)",
            self.bucket,
        )
        return self.totals()

    def left_over(self) -> int:
        """Counts that are not moved to the totals."""
        count = self._database.value(
            "select count(*) from media_enricher.pending_counts where bucket = $1", self.bucket
        )
        assert isinstance(count, int)
        return count

    def note(self, begun_after: str, piece: dict[str, Any]) -> bool:
        """As a worker of before: it keeps what is pending, and sends it at the end."""
        return bool(
            self._database.value(
                "select public.media_note_comparison($1, $2, $3, $4, $5, $6, $7::jsonb)",
                *(self.bucket, begun_after, piece["until"], piece["is_last"]),
                *(piece["started_at"], piece["objects"], piece["tenants"]),
            )
        )


@pytest.fixture
def comparing(database: Database, objects: Objects) -> Comparing:
    return Comparing(database, objects.bucket)


def test_pieces_of_any_size_count_and_mark_what_the_whole_does(
    database: Database, objects: Objects, pipeline: Pipeline, comparing: Comparing
) -> None:
    shuffled = random.Random(14)
    names = [f"{shuffled.choice('abÄ/')}{number}.jpg" for number in range(300)]
    listed, recorded = shuffled.sample(names, 200), shuffled.sample(names, 200)
    objects.put(*names)
    pipeline.record(*(found(name) for name in recorded))
    objects.delete(*set(names).difference(listed))
    objects.put(*listed[:20], content="other bytes", size=7)
    whole = pipeline.count()
    gone = sorted(set(recorded) - set(listed))

    for rows in (1, 7, 50, 1000):
        database.rows(
            "update public.media_assets set gone_at = null where bucket = $1", objects.bucket
        )
        pieces = list(comparing.pieces(rows))
        assert sum(piece["pending"] for piece in pieces) == whole[0]
        assert sum(piece["size_bytes"] for piece in pieces) == whole[1]
        assert sum(piece["gone"] for piece in pieces) == len(gone)
        assert sum(piece["objects"] for piece in pieces) == len(listed)
        assert max(piece["objects"] for piece in pieces) <= rows
        assert gone == sorted(
            database.column(
                "select path from public.media_assets where bucket = $1 and gone_at is not null",
                objects.bucket,
            )
        )


def test_a_piece_is_bounded_by_assets_too_and_marks_no_more_than_it_may(
    database: Database, objects: Objects, comparing: Comparing
) -> None:
    database.rows(
        "insert into public.media_assets (bucket, path, status, depth, enricher_version)"
        " select $1, to_char(n, 'FM0000'), 'enriched', 'full', 1 from generate_series(1, 2500) n",
        objects.bucket,
    )
    assert comparing.piece(100)["gone"] == 100
    assert [piece["gone"] for piece in comparing.pieces(10_000)] == [2000, 400]


def test_ends_of_pieces_cut_a_range_into_all_of_it(database: Database, objects: Objects) -> None:
    objects.put(*(f"{number:03}" for number in range(100)), "z/1")

    def ends(*, prefix: str = "", after: str = "", until: str = "", most: int = 99) -> list[str]:
        return database.column(
            "select * from public.media_piece_ends($1, $2, $3, $4, 30, $5)",
            *(objects.bucket, prefix, after, until, most),
        )

    assert ends() == ["029", "059", "089"]
    assert ends(most=2) == ["029", "059"]
    assert ends(after="010", until="050") == ["040"]
    assert ends(prefix="z/") == []


def test_parts_go_round_and_find_an_upload_that_committed_late(
    objects: Objects, comparing: Comparing
) -> None:
    objects.put("a", "b", "c", "d")
    assert comparing.next()["comparing"] == "whole"
    first = comparing.step(rows=3)
    assert first
    assert (first["objects"], first["pending"], first["is_compared"]) == (3, 3, False)
    objects.put("a2")  # behind the place: whatever time it says, no mark of a time is asked
    number = comparing.next()["number"]
    assert number == first["number"]
    (rest,) = comparing.steps(number, rows=3)
    assert (rest["objects"], rest["pending"]) == (1, 1)
    again = comparing.next()
    assert (again["comparing"], again["number"], again["objects"]) == ("part", None, 4)
    pending = [step["pending"] for step in comparing.steps(rows=1)]
    assert pending == [1, 1, 1, 1, 1, 0], "the next round comes to it"


def test_what_was_found_pending_is_kept_at_the_end_and_known_to_wait(
    database: Database, objects: Objects, comparing: Comparing, pipeline: Pipeline
) -> None:
    objects.put("a", "b")
    comparing.whole()
    assert comparing.next()["is_waiting"]
    pipeline.record(found("a"), found("b"))
    comparing.whole()
    assert not comparing.next()["is_waiting"]
    objects.put("c")
    pipeline.record(found("c", status="failed", kind="other", error_code="network"))
    assert comparing.next()["is_waiting"], "it is to be tried again"
    database.rows("update public.media_assets set attempts = 3 where bucket = $1", objects.bucket)
    assert not comparing.next()["is_waiting"]


def test_the_whole_is_due_after_a_day_and_after_a_run_that_did_not_come_through(
    database: Database, objects: Objects, comparing: Comparing
) -> None:
    objects.put("a")
    comparing.whole()
    assert comparing.next()["comparing"] == "part"
    database.rows(
        "insert into public.media_enrich_runs (id, flow, bucket, prefix, mode, depth, status,"
        " started_at, finished_at, trigger) values (gen_random_uuid(), 'backfill', $1, '',"
        " 'missing', 'full', 'crashed', now() - interval '2 hours', now() + interval '1 s',"
        " 'manual')",
        objects.bucket,
    )
    assert comparing.next()["comparing"] == "whole"
    database.rows("delete from public.media_enrich_runs where bucket = $1", objects.bucket)
    assert comparing.next()["comparing"] == "part"
    database.rows(
        "update media_enricher.comparisons set noted_at = now() - interval '25 hours'"
        " where bucket = $1",
        objects.bucket,
    )
    assert comparing.next()["comparing"] == "whole"


def test_where_the_feed_is_on_nothing_is_compared_between_two_days(
    database: Database, objects: Objects, comparing: Comparing
) -> None:
    objects.put("a")
    comparing.whole()
    try:
        change_feed.turn_on(database.url, [objects.bucket], [])
        assert comparing.next()["comparing"] == "part", "uploads under way were not queued"
        watched_for(database, objects.bucket, "11 minutes")
        compared_before(database, objects.bucket, "5 minutes")
        assert comparing.next()["comparing"] == "whole", "once, from after they ended"
        comparing.whole()
        assert comparing.next()["comparing"] == "nothing"
        compared_before(database, objects.bucket, "25 hours")
        watched_for(database, objects.bucket, "9 days")
        assert comparing.next()["comparing"] == "whole"
    finally:
        change_feed.turn_off(database.url)
    assert comparing.next()["comparing"] == "part"


def scattered(
    objects: Objects, pipeline: Pipeline, tenants: list[str], shuffled: random.Random
) -> None:
    """Upload objects of tenants and of none; some of them are enriched, or were before."""
    names = [
        f"{shuffled.choice([*tenants, 'shared'])}/{shuffled.randrange(1000)}-{number}.jpg"
        for number in range(60)
    ]
    objects.put(*names, size=shuffled.randrange(1, 1000))
    pipeline.record(*(found(name) for name in shuffled.sample(names, 30)))
    objects.put(*shuffled.sample(names, 20), content="other bytes", size=7)


@pytest.mark.parametrize(("rows", "tenants"), [(7, 1), (7, 3), (1000, 4), (1000, 1000)])
def test_totals_equal_a_whole_recount_while_tenants_come_and_go(
    objects: Objects, pipeline: Pipeline, comparing: Comparing, rows: int, tenants: int
) -> None:
    shuffled = random.Random(rows + tenants)
    for some in (TENANTS[:8], TENANTS[5:15], TENANTS[::2]):
        scattered(objects, pipeline, some, shuffled)
        list(comparing.steps(rows=rows, tenants=tenants))
        stored = comparing.totals()
        assert len(stored) > 5
        assert stored == comparing.counted_anew()
        assert comparing.left_over() == 0
        pending = [row["path"] for row in pipeline.pending()]
        done = [path for path in pending if shuffled.random() < 0.7]
        pipeline.record(*(found(path) for path in done))  # overwritten ones stay pending
        objects.delete(*shuffled.sample(pending, len(pending) // 2))


def test_what_has_nothing_pending_any_more_has_no_total_but_the_bucket(
    objects: Objects, pipeline: Pipeline, comparing: Comparing
) -> None:
    paths = [f"{tenant}/a.jpg" for tenant in TENANTS]
    objects.put(*paths)
    list(comparing.steps(tenants=3))
    assert len(comparing.totals()) == len(TENANTS) + 1
    pipeline.record(*(found(path) for path in paths))
    list(comparing.steps(tenants=3))
    assert comparing.totals() == {"": (0, 0, 0, 0)}


def test_no_call_stores_more_than_it_may(
    database: Database, objects: Objects, pipeline: Pipeline, comparing: Comparing
) -> None:
    """Neither of those that have something pending, nor of those that had."""
    objects.put(*(f"{tenant}/a.jpg" for tenant in TENANTS[:12]))
    list(comparing.steps())
    pipeline.record(*(found(f"{tenant}/a.jpg") for tenant in TENANTS[:10]))
    objects.put(*(f"{tenant}/a.jpg" for tenant in TENANTS[12:]))

    def stored() -> set[tuple[str, Any]]:
        rows = database.rows(
            "select scope, counted_at from public.media_totals where bucket = $1"
            " and facet = 'pending'",
            objects.bucket,
        )
        return {(row["scope"], row["counted_at"]) for row in rows}

    before, changed = stored(), []
    for _ in comparing.steps(tenants=4):
        after = stored()
        changed.append({scope for scope, _ in before ^ after})
        before = after
    assert set.union(*changed) == {"", *TENANTS}
    assert [len(scopes) for scopes in changed] == [4, 4, 4, 4, 4, 1]


def test_each_tenant_is_counted_once_where_a_comparison_was_killed(
    database: Database, objects: Objects, pipeline: Pipeline, comparing: Comparing
) -> None:
    scattered(objects, pipeline, TENANTS, random.Random(11))
    for killed_after in range(1, 12):
        begun = comparing.step(rows=9, tenants=4)
        assert begun
        for _ in range(killed_after):  # beyond its end, too: nothing is left to do
            comparing.step(begun["number"], rows=9, tenants=4)
        database.run("begin")
        comparing.step(begun["number"], rows=9, tenants=4)
        database.run("rollback")  # the statement was cancelled
        if killed_after % 2:
            list(comparing.steps(begun["number"], rows=9, tenants=4))
        else:
            list(comparing.steps(rows=9, tenants=4))
        assert comparing.totals() == comparing.counted_anew(), killed_after
        assert comparing.left_over() == 0


def test_what_a_killed_comparison_found_does_not_count(
    objects: Objects, comparing: Comparing
) -> None:
    objects.put(*(f"{tenant}/a.jpg" for tenant in TENANTS))
    comparing.step(rows=15)
    objects.delete(*(f"{tenant}/a.jpg" for tenant in TENANTS[:12]))
    list(comparing.steps(rows=5, tenants=4))
    assert set(comparing.totals()) == {"", *TENANTS[12:]}
    assert comparing.left_over() == 0


def test_the_next_sweep_stores_what_a_killed_one_has_left(
    database: Database, objects: Objects, comparing: Comparing
) -> None:
    objects.put(*(f"{tenant}/a.jpg" for tenant in TENANTS))
    try:
        change_feed.turn_on(database.url, [objects.bucket], [])
        watched_for(database, objects.bucket, "1 hour")
        step = comparing.step(tenants=5)
        assert step
        assert (step["is_compared"], step["is_complete"]) == (True, False)
        following = comparing.next()
        assert (following["comparing"], following["number"]) == ("part", step["number"])
        assert sum(each["objects"] for each in comparing.steps(following["number"])) == 0
        assert len(comparing.totals()) == len(TENANTS) + 1
        assert comparing.next()["comparing"] == "nothing"
    finally:
        change_feed.turn_off(database.url)


def test_a_comparison_ends_where_another_begins(objects: Objects, comparing: Comparing) -> None:
    objects.put("a", "b", "c")
    first = comparing.step(rows=1)
    assert first
    second = comparing.step(rows=1)
    assert second
    assert comparing.step(first["number"]) is None
    list(comparing.steps(second["number"], rows=1))
    assert comparing.totals() == {"": (3, 3000, 3, 3000)}
    repeated = comparing.step(second["number"])  # the answer to the last request was lost
    assert repeated
    assert (repeated["is_complete"], repeated["objects"]) == (True, 0)


def test_two_who_go_on_with_a_comparison_count_each_piece_once(
    database: Database, objects: Objects, pipeline: Pipeline, comparing: Comparing
) -> None:
    scattered(objects, pipeline, TENANTS, random.Random(2))
    begun = comparing.step(rows=1)
    assert begun

    async def go_on() -> int:
        connection = await asyncpg.connect(database.url)
        try:
            compared = 0
            for _ in range(1000):
                (step,) = await connection.fetch(NEXT, objects.bucket, begun["number"], 1, 2)
                compared += int(step["objects"])
                if step["is_complete"]:
                    return compared
            raise AssertionError("it comes to no end")
        finally:
            await connection.close()

    async def all_at_once() -> int:
        return sum(await asyncio.gather(*(go_on() for _ in range(3))))

    assert begun["objects"] + asyncio.run(all_at_once()) == 60
    assert comparing.totals() == comparing.counted_anew()


def test_tenants_of_no_number_are_refused(comparing: Comparing) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match="tenants is 0"):
        comparing.step(tenants=0)


def test_workers_of_before_go_round_and_begin_anew_where_new_ones_have_been(
    objects: Objects, comparing: Comparing
) -> None:
    tenant = TENANTS[0]
    objects.put("a.jpg", "b.jpg", f"{tenant}/c.jpg", f"{tenant}/d.jpg")

    def noted(after: str) -> bool:
        following = comparing.next()
        assert following["after"] == after
        piece = comparing.piece(3, after=after)
        piece["started_at"] = following["part_from"] or piece["started_at"]
        piece["objects"] += following["part_objects"]
        piece["tenants"] = json.dumps(
            json.loads(following["tenants"]) + json.loads(piece["tenants"])
        )
        assert comparing.note(after, piece)
        assert not comparing.note("b.jpg", piece), "another sweep has compared the same part"
        return bool(piece["is_last"])

    assert not noted("")
    assert (comparing.next()["number"], comparing.next()["after"]) == (None, "a.jpg")
    assert noted("a.jpg")
    assert comparing.totals() == comparing.counted_anew()
    assert comparing.next()["objects"] == 4

    begun = comparing.step(rows=1)
    assert begun
    assert not noted("")
    assert comparing.step(begun["number"]) is None
    list(comparing.steps(rows=1))
    assert comparing.next()["after"] == ""
    assert comparing.totals() == comparing.counted_anew()


def watched_for(database: Database, bucket: str, age: str) -> None:
    """As if the bucket had been watched for so long."""
    database.rows(
        "update media_enricher.watched_buckets set watched_since = now() - $2::text::interval"
        " where bucket = $1",
        *(bucket, age),
    )


def compared_before(database: Database, bucket: str, age: str) -> None:
    """As if the last comparison had begun so long ago."""
    database.rows(
        "update media_enricher.comparisons set compared_from = now() - $2::text::interval"
        " where bucket = $1",
        *(bucket, age),
    )
