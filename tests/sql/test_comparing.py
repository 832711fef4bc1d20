"""Comparing a bucket in pieces: they equal the whole, end nowhere early, and sweeps take turns."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from media_enricher import change_feed
from tests.database import Database
from tests.sql.conftest import Objects, Pipeline, found


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

    def note(self, begun_after: str, piece: dict[str, Any]) -> bool:
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
    first = comparing.piece(3)
    assert comparing.next()["comparing"] == "whole"
    assert comparing.note("", first)
    objects.put("a2")  # behind the place: whatever time it says, no mark of a time is asked
    following = comparing.next()
    assert (following["after"], following["part_objects"]) == ("c", 3)
    rest = comparing.piece(3, after=following["after"])
    assert rest["is_last"]
    rest["objects"] += following["part_objects"]
    rest["started_at"] = following["part_from"]
    assert comparing.note("c", rest)
    assert not comparing.note("c", rest), "another sweep has compared the same part"
    again = comparing.next()
    assert (again["comparing"], again["after"], again["objects"]) == ("part", "", 4)
    pending = [comparing.piece(1)["pending"], comparing.piece(1, after="a")["pending"]]
    assert pending == [1, 1], "the next round comes to it"


def test_what_was_found_pending_is_kept_at_the_end_and_known_to_wait(
    database: Database, objects: Objects, comparing: Comparing, pipeline: Pipeline
) -> None:
    objects.put("a", "b")
    comparing.note("", comparing.piece(10))
    assert comparing.next()["is_waiting"]
    pipeline.record(found("a"), found("b"))
    comparing.note("", comparing.piece(10))
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
    comparing.note("", comparing.piece(10))
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
    comparing.note("", comparing.piece(10))
    try:
        change_feed.turn_on(database.url, [objects.bucket], [])
        assert comparing.next()["comparing"] == "part", "uploads under way were not queued"
        watched_for(database, objects.bucket, "11 minutes")
        compared_before(database, objects.bucket, "5 minutes")
        assert comparing.next()["comparing"] == "whole", "once, from after they ended"
        comparing.note("", comparing.piece(10))
        assert comparing.next()["comparing"] == "nothing"
        compared_before(database, objects.bucket, "25 hours")
        watched_for(database, objects.bucket, "9 days")
        assert comparing.next()["comparing"] == "whole"
    finally:
        change_feed.turn_off(database.url)
    assert comparing.next()["comparing"] == "part"


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


def test_tenants_are_told_apart_as_the_count_of_the_whole_does(
    database: Database, objects: Objects, comparing: Comparing
) -> None:
    tenant = "00000000-0000-4000-8000-000000000001"
    objects.put("a.jpg", f"{tenant}/b.jpg", f"{tenant}/c.jpg")
    told = json.loads(comparing.piece(10)["tenants"])
    assert {(each["tenant"], each["objects"]) for each in told} == {(None, 1), (tenant, 2)}
    comparing.note("", comparing.piece(10))
    by_pieces = totals(database, objects.bucket)
    database.rows(
        "select * from public.media_count_missing($1, 'full', 1, array['network'], 3)",
        objects.bucket,
    )
    assert totals(database, objects.bucket) == by_pieces


def totals(database: Database, bucket: str) -> list[dict[str, Any]]:
    return database.rows(
        "select scope, value, objects, size_bytes from public.media_totals"
        " where bucket = $1 and facet = 'pending' order by 1, 2",
        bucket,
    )
