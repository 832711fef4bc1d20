"""Which objects a run is to work on: each mode, literal prefixes, paging, and what is no object."""

from __future__ import annotations

import itertools
import json
import re
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.database import Database
from tests.sql.conftest import Objects, Pipeline, etag_of, failed, found

ADA = "0a5a7a70-0000-4000-8000-00000000ada0"
BEN = "0a5a7a70-0000-4000-8000-00000000be20"


def test_an_object_without_a_row_is_missing(objects: Objects, pipeline: Pipeline) -> None:
    objects.put("a.jpg", size=7)
    assert pipeline.pending() == [
        {
            "path": "a.jpg",
            "etag": etag_of("content"),
            "size_bytes": 7,
            "declared_content_type": "image/jpeg",
            "previous_etag": None,
            "attempts": 0,
        }
    ]
    pipeline.record(found("a.jpg"))
    assert pipeline.pending() == []


def test_a_changed_object_is_missing_and_its_tries_begin_anew(
    objects: Objects, pipeline: Pipeline
) -> None:
    objects.put("a.jpg", content="old")
    pipeline.record(found("a.jpg", "old"))
    objects.put("a.jpg", content="new")
    (pending,) = pipeline.pending()
    assert pending["etag"] == etag_of("new")
    assert pending["previous_etag"] == etag_of("old")
    assert pending["attempts"] == 0


def test_the_same_bytes_under_another_content_type_are_another_version(
    objects: Objects, pipeline: Pipeline
) -> None:
    objects.put("page.bin", content_type="image/png")
    pipeline.record(failed("page.bin", "mislabelled", declared_content_type="image/png"))
    pipeline.record(failed("page.bin", "mislabelled", declared_content_type="image/png"))
    assert pipeline.pending() == []
    objects.put("page.bin", content_type="text/html")
    (pending,) = pipeline.pending()
    assert pending["declared_content_type"] == "text/html"
    assert (pending["etag"], pending["attempts"]) == (pending["previous_etag"], 0)
    pipeline.record(
        found("page.bin", status="unsupported", kind="other", declared_content_type="text/html")
    )
    assert pipeline.pending() == []
    row = pipeline.asset("page.bin")
    assert (row["status"], row["error_code"], row["attempts"]) == ("unsupported", None, 1)
    assert row["declared_content_type"] == "text/html"


@pytest.mark.parametrize("listed", [None, ""])
def test_a_listing_without_a_content_type_is_enriched_once(
    objects: Objects, pipeline: Pipeline, listed: str | None
) -> None:
    """The row has the type that the download told, which the listing can't contradict."""
    objects.put("a.jpg", content_type=listed)
    assert pipeline.pending()[0]["declared_content_type"] is None
    pipeline.record(found("a.jpg", declared_content_type="application/octet-stream"))
    assert pipeline.pending() == []


def test_a_content_type_of_any_length_is_enriched_once(
    objects: Objects, pipeline: Pipeline
) -> None:
    """Whoever uploads may choose it, and an entry of the index has a limit."""
    path = "x" * 1020 + ".jpg"
    objects.put(path, content_type="image/jpeg; " + "é" * 8000, owner="ö" * 8000)
    (pending,) = pipeline.pending()
    assert len(pending["declared_content_type"]) == 200
    assert (
        pipeline.record(found(path, declared_content_type=pending["declared_content_type"])) == []
    )
    assert pipeline.pending() == []
    assert pipeline.asset(path)["owner_id"] is None


@pytest.mark.parametrize("size", [-1, 1e30])
def test_a_size_that_is_none_is_unknown(objects: Objects, pipeline: Pipeline, size: float) -> None:
    objects.put("a.jpg", size=size)
    assert [row["size_bytes"] for row in pipeline.pending()] == [None]
    assert pipeline.count() == (1, 0)


def test_a_weak_etag_is_no_change(objects: Objects, pipeline: Pipeline) -> None:
    objects.put("a.jpg", etag=f"W/{etag_of('content')}")
    assert pipeline.pending()[0]["etag"] == etag_of("content")
    pipeline.record(found("a.jpg", etag=f"W/{etag_of('content')}"))
    assert pipeline.pending() == []
    assert pipeline.asset("a.jpg")["etag"] == etag_of("content")


def test_a_listing_without_an_etag_is_enriched_once(
    database: Database, objects: Objects, pipeline: Pipeline
) -> None:
    objects.put("a.jpg")
    database.rows("update storage.objects set metadata = null where bucket_id = $1", objects.bucket)
    assert pipeline.pending()[0]["size_bytes"] is None
    pipeline.record(found("a.jpg"))
    assert pipeline.pending() == []


def test_a_shallower_row_is_missing_only_where_depth_is_asked_for(
    objects: Objects, pipeline: Pipeline
) -> None:
    objects.put("seen.jpg", "unsupported.xyz")
    pipeline.record(
        found("seen.jpg", depth="header"),
        found(
            "unsupported.xyz",
            depth="header",
            status="unsupported",
            error_code="unsupported_type",
        ),
    )
    assert pipeline.paths(depth="header") == []
    assert pipeline.paths(depth="full") == ["seen.jpg", "unsupported.xyz"]


def test_a_transient_failure_is_missing_while_tries_are_left(
    objects: Objects, pipeline: Pipeline
) -> None:
    objects.put("a.jpg")
    for tries in (1, 2):
        pipeline.record(failed("a.jpg", "network"))
        assert [row["attempts"] for row in pipeline.pending(max_attempts=3)] == [tries]
    pipeline.record(failed("a.jpg", "network"))
    assert pipeline.paths(max_attempts=3) == []
    assert pipeline.paths(max_attempts=4) == ["a.jpg"]


@pytest.mark.parametrize("depth", ["header", "full"])
def test_a_permanent_failure_waits_for_a_change_or_for_mode_failed(
    objects: Objects, pipeline: Pipeline, depth: str
) -> None:
    objects.put("a.jpg")
    pipeline.record(failed("a.jpg", "corrupt", depth="header"))
    assert pipeline.paths(mode="missing", depth=depth) == []
    assert pipeline.paths(mode="failed", depth=depth) == ["a.jpg"]
    objects.put("a.jpg", content="mended")
    assert pipeline.paths(mode="missing", depth=depth) == ["a.jpg"]


def test_mode_failed_is_every_failure_whose_object_exists(
    objects: Objects, pipeline: Pipeline
) -> None:
    objects.put("bad.jpg", "tired.jpg", "good.jpg", "deleted.jpg", "new.jpg")
    pipeline.record(
        failed("bad.jpg", "corrupt"),
        failed("tired.jpg", "network"),
        found("good.jpg"),
        failed("deleted.jpg", "corrupt"),
    )
    objects.delete("deleted.jpg")
    assert pipeline.paths(mode="failed", max_attempts=1) == ["bad.jpg", "tired.jpg"]
    assert pipeline.count(mode="failed") == (2, 2000)


def test_mode_stale_is_what_an_older_version_wrote(objects: Objects, pipeline: Pipeline) -> None:
    objects.put("old.jpg", "current.jpg", "new.jpg")
    pipeline.record(found("old.jpg", enricher_version=1), found("current.jpg", enricher_version=2))
    assert pipeline.paths(mode="stale", version=2) == ["old.jpg"]
    assert pipeline.paths(mode="missing", version=2) == ["new.jpg"]


def test_mode_all_is_every_object(objects: Objects, pipeline: Pipeline) -> None:
    objects.put("a.jpg", "b.jpg")
    pipeline.record(found("a.jpg"))
    assert pipeline.paths(mode="all") == ["a.jpg", "b.jpg"]


def test_an_object_that_changed_hands_is_missing(
    database: Database, objects: Objects, pipeline: Pipeline
) -> None:
    objects.put("given.jpg", "taken.jpg", "replaced.jpg", "foreign.jpg", owner=ADA)
    pipeline.record(*map(found, ("given.jpg", "taken.jpg", "replaced.jpg", "foreign.jpg")))
    assert pipeline.pending() == []
    objects.put("given.jpg", owner=BEN)
    objects.put("taken.jpg", owner=None)
    objects.put("foreign.jpg", owner="user_of_another_identity_provider")
    objects.delete("replaced.jpg")
    objects.put("replaced.jpg", owner=ADA)
    assert pipeline.paths() == ["foreign.jpg", "given.jpg", "replaced.jpg", "taken.jpg"]
    pipeline.record(*map(found, ("given.jpg", "taken.jpg", "replaced.jpg", "foreign.jpg")))
    assert pipeline.pending() == []
    assert str(pipeline.asset("given.jpg")["user_id"]) == BEN
    assert pipeline.asset("foreign.jpg")["user_id"] is None


def test_gone_and_back(objects: Objects, pipeline: Pipeline) -> None:
    objects.put("kept.jpg", "images/a.jpg", "images/b.jpg")
    pipeline.record(*map(found, ("kept.jpg", "images/a.jpg", "images/b.jpg")))
    objects.delete("kept.jpg", "images/a.jpg")
    assert pipeline.mark_gone("images/") == 1
    assert pipeline.asset("images/a.jpg")["gone_at"] is not None
    assert pipeline.asset("kept.jpg")["gone_at"] is None
    assert pipeline.mark_gone() == 1
    assert pipeline.mark_gone() == 0
    objects.put("images/a.jpg")
    assert pipeline.paths() == ["images/a.jpg"]
    pipeline.record(found("images/a.jpg"))
    assert pipeline.asset("images/a.jpg")["gone_at"] is None
    assert pipeline.mark_gone() == 0


def test_a_row_wrongly_marked_gone_is_missing(
    database: Database, objects: Objects, pipeline: Pipeline
) -> None:
    """As by a call that saw the bucket while the object was being replaced."""
    objects.put("a.jpg")
    pipeline.record(found("a.jpg"))
    database.rows(
        "update public.media_assets set gone_at = now() where bucket = $1", objects.bucket
    )
    assert pipeline.paths() == ["a.jpg"]


def test_placeholders_of_empty_folders_are_no_media(objects: Objects, pipeline: Pipeline) -> None:
    objects.put(
        ".emptyFolderPlaceholder", "new folder/.emptyFolderPlaceholder", "my.emptyFolderPlaceholder"
    )
    assert pipeline.paths(mode="all") == ["my.emptyFolderPlaceholder"]
    assert pipeline.count() == (1, 1000)


@pytest.mark.parametrize(("mode", "depth"), [("newest", "full"), ("missing", "deep")])
def test_an_unknown_mode_or_depth_is_refused(pipeline: Pipeline, mode: str, depth: str) -> None:
    with pytest.raises(asyncpg.PostgresError, match="must be"):
        pipeline.pending(mode=mode, depth=depth)


KEYS = st.text("ab/%_\\*.' é\U0001f600\ud7ff\uffff", min_size=1, max_size=6)
in_one_bucket = settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@in_one_bucket
@given(names=st.sets(KEYS, min_size=1, max_size=30), prefix=st.text("ab/%_\\é\ud7ff", max_size=3))
def test_a_prefix_means_itself(database: Database, names: set[str], prefix: str) -> None:
    objects = Objects(database)
    objects.put(*names)
    pipeline = Pipeline(database, objects)
    expected = sorted((name for name in names if name.startswith(prefix)), key=str.encode)
    assert pipeline.paths(prefix=prefix) == expected
    assert pipeline.count(prefix=prefix) == (len(expected), 1000 * len(expected))
    pipeline.record(*map(found, names))
    assert pipeline.paths(prefix=prefix) == []
    objects.delete(*names)
    assert pipeline.mark_gone(prefix) == len(expected)


@in_one_bucket
@given(data=st.data(), names=st.sets(KEYS, max_size=40), page=st.integers(1, 7))
def test_pages_are_exactly_what_is_pending_in_byte_order(
    database: Database, data: st.DataObject, names: set[str], page: int
) -> None:
    done = data.draw(st.sets(st.sampled_from(sorted(names)))) if names else set()
    objects = Objects(database)
    objects.put(*names)
    pipeline = Pipeline(database, objects)
    pipeline.record(*map(found, done))
    seen: list[str] = []
    while rows := pipeline.paths(after=seen[-1] if seen else "", limit=page):
        assert len(rows) <= page
        seen += rows
        pipeline.record(*map(found, rows))  # as a run does, while it pages on
    assert seen == sorted(names - done, key=str.encode)


@in_one_bucket
@given(data=st.data(), names=st.sets(KEYS, min_size=1, max_size=40))
def test_a_range_is_what_comes_after_the_one_path_up_to_the_other(
    database: Database, data: st.DataObject, names: set[str]
) -> None:
    objects = Objects(database)
    objects.put(*names)
    pipeline = Pipeline(database, objects)
    ends = st.just("") | st.sampled_from(sorted(names)) | KEYS
    after, until = data.draw(ends), data.draw(ends)
    in_range = sorted(
        (
            name
            for name in names
            if name.encode() > after.encode() and (not until or name.encode() <= until.encode())
        ),
        key=str.encode,
    )
    assert pipeline.paths(after=after, until=until) == in_range
    assert pipeline.count(after=after, until=until)[0] == len(in_range)
    pipeline.record(*map(found, names))
    objects.delete(*names)
    assert pipeline.mark_gone(after=after, until=until) == len(in_range)
    assert pipeline.mark_gone() == len(names) - len(in_range)


@in_one_bucket
@given(names=st.sets(KEYS, max_size=40), shards=st.integers(1, 9))
def test_shares_follow_each_other_and_leave_nothing_out(
    database: Database, names: set[str], shards: int
) -> None:
    objects = Objects(database)
    objects.put(*names)
    pipeline = Pipeline(database, objects)
    shares = pipeline.split(shards)
    assert len(shares) == min(shards, len(names))
    ends = ["", *(share["until"] for share in shares)]
    found_in = [
        pipeline.paths(after=after, until=until) for after, until in itertools.pairwise(ends)
    ]
    assert list(itertools.chain(*found_in)) == sorted(names, key=str.encode)
    assert [len(paths) for paths in found_in] == [share["objects"] for share in shares]
    assert max(map(len, found_in), default=0) - min(map(len, found_in), default=0) <= 1


def test_shares_weigh_bytes_unless_only_headers_are_read(
    objects: Objects, pipeline: Pipeline
) -> None:
    objects.put(*(f"icons/{number:03}.png" for number in range(90)), size=5_000)
    objects.put(*(f"raw/{number:03}.dng" for number in range(10)), size=20_000_000)
    halves = pipeline.split(2)
    assert [(share["until"], share["objects"]) for share in halves] == [
        ("raw/004.dng", 95),
        ("raw/009.dng", 5),
    ]
    assert sum(share["size_bytes"] for share in halves) == 90 * 5_000 + 10 * 20_000_000
    assert [share["objects"] for share in pipeline.split(2, depth="header")] == [50, 50]
    assert [share["objects"] for share in pipeline.split(3, after="icons/044.png")] == [48, 4, 3]
    assert pipeline.split(4, prefix="none/") == []


def test_no_shares_at_all_are_refused(pipeline: Pipeline) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match="shards is 0"):
        pipeline.split(0)


def test_the_count_stops_at_the_limit(objects: Objects, pipeline: Pipeline) -> None:
    objects.put("b", size=10)
    objects.put("a", size=1)
    objects.put("c", size=100)
    assert pipeline.count() == (3, 111)
    assert pipeline.count(limit=2) == (2, 11)
    assert pipeline.count(limit=9) == (3, 111)


@pytest.mark.parametrize("analyzed", [False, True], ids=["without statistics", "analyzed"])
@pytest.mark.parametrize("mode", ["missing", "stale", "all"])
def test_a_page_rides_on_both_indexes_from_its_cursor(
    database: Database, objects: Objects, pipeline: Pipeline, mode: str, analyzed: bool
) -> None:
    """Neither a sort nor a scan of the whole: or the last page would cost what all of them do."""
    objects.put(*(f"{number:05}.jpg" for number in range(5000)))
    pipeline.record(*(found(f"{number:05}.jpg") for number in range(5000)))
    if analyzed:
        database.run("analyze storage.objects; analyze public.media_assets")
    statement = database.value(
        """
        select media_enricher.pending_sql($1, '0', $2, 'full', 2, array['network'], 3, '02', '03')
        """,
        objects.bucket,
        mode,
    )
    database.run("begin; select media_enricher.prefer_merging()")
    try:
        plan = json.loads(
            database.value(f"explain (format json) {statement} order by path limit 1000")
        )
    finally:
        database.run("rollback")
    nodes = re.findall(r"'Node Type': '([^']+)'", str(plan))
    assert nodes[:2] == ["Limit", "Merge Join"]
    assert set(nodes[2:]) <= {"Index Scan", "Index Only Scan", "Materialize", "Subquery Scan"}
    conditions = re.findall(r"'Index Cond': ([\"'])(.+?)\1[,}]", str(plan))
    assert len(conditions) == 2
    for _, condition in conditions:
        assert "> '02'" in condition
        assert "<= '03'" in condition
        assert ">= '0'" in condition
        assert "< '1'" in condition


def test_what_is_preferred_for_planning_ends_with_it(
    database: Database, objects: Objects, pipeline: Pipeline
) -> None:
    database.run("begin")
    try:
        pipeline.pending()
        pipeline.count()
        pipeline.mark_gone()
        for name in ("enable_nestloop", "enable_hashjoin", "enable_sort"):
            assert database.value(f"show {name}") == "on"
    finally:
        database.run("rollback")


def test_other_buckets_are_left_alone(database: Database, objects: Objects) -> None:
    other = Objects(database)
    objects.put("a.jpg")
    other.put("a.jpg")
    Pipeline(database, other).record(found("a.jpg"), run_id=str(uuid4()))
    assert Pipeline(database, objects).paths() == ["a.jpg"]
    assert Pipeline(database, other).paths() == []
