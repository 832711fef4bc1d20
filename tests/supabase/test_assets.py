"""The table of assets as the flow uses it: through PostgREST, in pages and in calls of 1,000."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from supabase import Client

from media_enricher.models import (
    AssetStatus,
    Depth,
    ErrorCode,
    Findings,
    Kind,
    MediaAsset,
    Mode,
    PendingCount,
    RunPace,
    Selection,
    StorageObject,
)
from media_enricher.supabase.assets import AssetTable
from media_enricher.supabase.runs import RunTable
from supabase_local import LocalStack
from tests.recording import record


@dataclass(frozen=True)
class Filled:
    """A bucket with rows for objects, and no bytes."""

    bucket: str
    paths: list[str]

    def found(self, page: list[StorageObject], **columns: Any) -> list[MediaAsset]:
        return [asset(each, **columns) for each in page]


def asset(each: StorageObject, **columns: Any) -> MediaAsset:
    return msgspec.convert(
        {
            "bucket": each.bucket,
            "path": each.path,
            "etag": each.etag,
            "size_bytes": each.size_bytes,
            "declared_content_type": each.declared_content_type,
            "depth": Depth.FULL,
            "enricher_version": 1,
            "status": AssetStatus.ENRICHED,
            "kind": Kind.IMAGE,
        }
        | columns,
        MediaAsset,
    )


@pytest.fixture
def fill(migrated_stack: LocalStack, make_bucket: Callable[[], str]) -> Callable[[int], Filled]:
    async def insert(bucket: str, objects: int) -> list[str]:
        connection = await asyncpg.connect(migrated_stack.database_url)
        await connection.execute(
            """
            insert into storage.objects (bucket_id, name, metadata, version)
            select $1, to_char(n, 'FM000000') || '.jpg', jsonb_build_object(
              'eTag', '"' || md5(n::text) || '"', 'size', n, 'mimetype', 'image/jpeg'), 'v'
            from generate_series(1, $2) as n
            """,
            *(bucket, objects),
        )
        rows = await connection.fetch(
            "select name from storage.objects where bucket_id = $1 order by name", bucket
        )
        await connection.close()
        return [row["name"] for row in rows]

    def filled(objects: int) -> Filled:
        bucket = make_bucket()
        return Filled(bucket, asyncio.run(insert(bucket, objects)))

    return filled


def paths(pages: list[list[StorageObject]]) -> list[str]:
    return [each.path for page in pages for each in page]


def test_pages_of_a_thousand_cover_the_bucket(
    assets: AssetTable, fill: Callable[[int], Filled]
) -> None:
    filled = fill(2500)
    pages = list(assets.pending_pages(Selection(bucket=filled.bucket)))
    assert [len(page) for page in pages] == [1000, 1000, 500]
    assert paths(pages) == filled.paths
    assert pages[0][0] == StorageObject(
        bucket=filled.bucket,
        path="000001.jpg",
        etag='"c4ca4238a0b923820dcc509a6f75849b"',
        size_bytes=1,
        declared_content_type="image/jpeg",
    )


def test_a_page_may_be_larger_than_an_answer_of_rows(
    assets: AssetTable, fill: Callable[[int], Filled]
) -> None:
    filled = fill(2500)
    pages = list(assets.pending_pages(Selection(bucket=filled.bucket), rows=2000))
    assert [len(page) for page in pages] == [2000, 500]
    assert paths(pages) == filled.paths


@pytest.mark.parametrize("limit", [0, 1, 999, 1000, 1001, 1500, 1501, 9999])
def test_a_limit_is_kept_exactly(
    assets: AssetTable, fill: Callable[[int], Filled], limit: int
) -> None:
    filled = fill(1500)
    selection = Selection(bucket=filled.bucket)
    expected = filled.paths[:limit]
    assert paths(list(assets.pending_pages(selection, limit=limit))) == expected
    size_bytes = sum(range(1, len(expected) + 1))
    assert assets.count_pending(selection, limit=limit, header_bytes=2**20) == PendingCount(
        len(expected), size_bytes, full_bytes=size_bytes, header_bytes=size_bytes
    )


def test_the_count_says_what_either_depth_would_read(
    assets: AssetTable, fill: Callable[[int], Filled]
) -> None:
    filled = fill(10)
    selection = Selection(bucket=filled.bucket)
    found = assets.count_pending(selection, header_bytes=3)
    assert (found.full_bytes, found.header_bytes) == (55, 1 + 2 + 3 * 8)
    estimate = assets.estimate(selection, limit=4, max_bytes=7)
    assert (estimate.objects, estimate.size_bytes, estimate.cost.read_bytes) == (4, 10, 7)


def test_the_pace_is_that_of_the_last_runs_over_the_bucket_or_of_all(
    assets: AssetTable, runs: RunTable
) -> None:
    bucket, started = str(uuid4()), datetime.now(UTC)
    for depth, seconds in ((Depth.HEADER, 10), (Depth.FULL, 100), (Depth.FULL, 200)):
        run_id = str(uuid4())
        runs.record(run_id, bucket=bucket, depth=depth, status="running", started_at=started)
        runs.record(
            run_id, status="completed", succeeded=50, bytes_read=5_000, total_files=50,
            finished_at=started + timedelta(seconds=seconds),
        )  # fmt: skip
    unfinished = str(uuid4())
    runs.record(
        unfinished, bucket=bucket, status="running", succeeded=9, bytes_read=9, total_files=9
    )
    paces = {pace.depth: pace for pace in assets.paces(bucket)}
    assert paces == {
        Depth.HEADER: RunPace(depth=Depth.HEADER, objects=50, bytes_read=5_000, seconds=10),
        Depth.FULL: RunPace(depth=Depth.FULL, objects=100, bytes_read=10_000, seconds=300),
    }
    assert {pace.depth for pace in assets.paces("another bucket")} == {Depth.HEADER, Depth.FULL}


def test_rows_are_recorded_in_calls_of_a_thousand_while_paging(
    assets: AssetTable, fill: Callable[[int], Filled]
) -> None:
    filled = fill(2500)
    selection, run_id = Selection(bucket=filled.bucket), str(uuid4())
    everything = [each for page in assets.pending_pages(selection) for each in page]
    vanished = StorageObject(bucket=filled.bucket, path="vanished.jpg")
    assert record(assets, run_id, filled.found([*everything, vanished])) == ["vanished.jpg"]
    assert list(assets.pending_pages(selection)) == []
    assert assets.count_pending(selection) == PendingCount(0, 0)
    everywhere = msgspec.structs.replace(selection, mode=Mode.ALL)
    assert paths(list(assets.pending_pages(everywhere))) == filled.paths
    assert record(assets, run_id, []) == []


def test_every_field_comes_back_as_it_was_found(
    client: Client, assets: AssetTable, fill: Callable[[int], Filled]
) -> None:
    filled = fill(1)
    (page,) = assets.pending_pages(Selection(bucket=filled.bucket))
    complete = asset(
        page[0],
        content_type="image/jpeg", format="jpeg", width=4000, height=3000, orientation=6,
        frame_count=2, is_animated=True, has_alpha=True, is_opaque=False, color_mode="RGBA",
        bit_depth=16, icc_profile="Display P3", dominant_color="#a1b2c3",
        palette=["#a1b2c3", "#000000"], blurhash="LEHV6nWB2yk8", thumbhash="1QcSHQRn",
        phash="0123456789abcdef", sha256="ab" * 32, taken_at=datetime(2020, 2, 29, tzinfo=UTC),
        camera_make="Écran", camera_model="X", lens="50 mm", latitude=-33.5, longitude=151.25,
        exif={"ISOSpeedRatings": 100, "nested": [1.5, None, {"日本": True}]}, title="T",
        description="D", tags=["sun set", "a,b", 'quote"d'],
        page_count=3, page_width_points=595.3, page_height_points=841.9, is_encrypted=False,
        duration_seconds=12.345, frame_rate=29.97, bit_rate=5_000_000, video_codec="h264",
        audio_codec="aac", audio_channels=2, sample_rate_hz=48_000, has_audio=True,
        taken_at_offset=-210, has_location=True, creator="A; B", copyright="© 2020 A",
        license_url="https://creativecommons.org/licenses/by/4.0/", alt_text="A dog.", rating=-1,
        digital_source_type="trainedAlgorithmicMedia", is_ai_generated=True,
        has_content_credentials=True, text_excerpt="Once", labels=["landscape"],
        warnings=["damaged"],
    )  # fmt: skip
    record(assets, str(uuid4()), [complete])
    stored: Any = (
        client.table("media_assets").select("*").eq("bucket", filled.bucket).execute().data
    )
    assert [msgspec.convert(row, MediaAsset) for row in stored] == [complete]
    assert set(Findings.__struct_fields__) <= set(stored[0])


def test_the_assets_of_a_run_are_paged_by_path_and_filtered_by_status(
    assets: AssetTable, fill: Callable[[int], Filled]
) -> None:
    filled, run_id = fill(7), str(uuid4())
    (page,) = assets.pending_pages(Selection(bucket=filled.bucket))
    odd = {"status": AssetStatus.FAILED, "error_code": ErrorCode.CORRUPT, "error_message": "bad"}
    record(assets, run_id, filled.found(page[:5], width=4, height=3, tags=["a"]))
    record(assets, run_id, filled.found(page[5:6], **odd))
    record(assets, str(uuid4()), filled.found(page[6:]))

    columns = ("path", "status", "error_code", "width", "tags")
    first = assets.of_run(run_id, columns, limit=4)
    second = assets.of_run(run_id, columns, after=first[-1]["path"], limit=4)

    assert [each["path"] for each in first + second] == filled.paths[:6]
    assert assets.of_run(run_id, columns, after=second[-1]["path"]) == []
    assert first[0] == {
        "path": filled.paths[0],
        "status": "enriched",
        "error_code": None,
        "width": 4,
        "tags": ["a"],
    }
    (failed,) = assets.of_run(run_id, columns, status=AssetStatus.FAILED)
    assert (failed["path"], failed["error_code"]) == (filled.paths[5], "corrupt")
    assert len(assets.of_run(run_id, columns, status=AssetStatus.ENRICHED)) == 5


def test_failures_of_a_run_are_counted_by_reason_the_most_frequent_first(
    assets: AssetTable, runs: RunTable, fill: Callable[[int], Filled]
) -> None:
    filled, run_id = fill(6), str(uuid4())
    runs.record(run_id, bucket=filled.bucket)
    (page,) = assets.pending_pages(Selection(bucket=filled.bucket))

    def fail(start: int, end: int, code: ErrorCode, run: str = run_id) -> None:
        record(
            assets,
            run,
            [
                asset(each, status=AssetStatus.FAILED, error_code=code, error_message=each.path)
                for each in page[start:end]
            ],
        )

    fail(0, 1, ErrorCode.TIMEOUT)
    fail(1, 4, ErrorCode.CORRUPT)
    fail(4, 5, ErrorCode.EMPTY, run=str(uuid4()))
    record(assets, run_id, filled.found(page[5:]))
    corrupt, timeout = assets.failures_by_reason(run_id)
    assert (corrupt.error_code, corrupt.objects) == ("corrupt", 3)
    assert corrupt.path == corrupt.error_message == filled.paths[1]
    assert (timeout.error_code, timeout.objects, timeout.path) == ("timeout", 1, filled.paths[0])
    assert assets.failures_by_reason(str(uuid4())) == []


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40) | st.sampled_from(
    ["\x00", "a\x00b", "\ud800", "\udc00\ud800", "\ud83d\ude00", "\\u0000", "x" * 5000]
)
ANY_INTEGER = st.none() | st.integers() | st.sampled_from([0, -1, 2**31, 2**63, 10**400])
ANY_JSON = st.recursive(
    st.none() | st.booleans() | ANY_INTEGER | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def hostile_columns(draw: st.DrawFn) -> dict[str, Any]:
    """What a file might make a probe say."""
    texts = (
        "content_type", "format", "color_mode", "icc_profile", "dominant_color", "blurhash",
        "thumbhash", "phash", "sha256", "camera_make", "lens", "title", "description",
        "error_message",
    )  # fmt: skip
    integers = ("width", "height", "orientation", "frame_count", "bit_depth", "size_bytes")
    return {
        **{name: draw(st.none() | ANY_TEXT) for name in texts},
        **{name: draw(ANY_INTEGER) for name in integers},
        **{name: draw(st.none() | st.floats()) for name in ("latitude", "longitude")},
        "tags": draw(st.none() | st.lists(ANY_TEXT, max_size=4)),
        "palette": draw(st.none() | st.lists(ANY_TEXT, max_size=4)),
        "exif": draw(st.none() | st.dictionaries(ANY_TEXT, ANY_JSON, max_size=4)),
        "taken_at": draw(st.none() | st.datetimes(timezones=st.just(UTC))),
        "declared_content_type": draw(st.none() | ANY_TEXT),
        **draw(
            st.sampled_from(
                [
                    {"status": AssetStatus.ENRICHED},
                    {"status": AssetStatus.FAILED, "error_code": ErrorCode.CORRUPT},
                    {"status": AssetStatus.UNSUPPORTED, "error_code": ErrorCode.UNSUPPORTED_TYPE},
                ]
            )
        ),
    }


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(columns=hostile_columns())
def test_no_finding_is_refused_and_none_harms_its_neighbours(
    client: Client, assets: AssetTable, hostile: Filled, columns: dict[str, Any]
) -> None:
    page = next(assets.pending_pages(Selection(bucket=hostile.bucket, mode=Mode.ALL)))
    odd = asset(page[0])
    for name, value in columns.items():
        setattr(odd, name, value)
    assert record(assets, str(uuid4()), [odd, asset(page[1], width=5, height=4)]) == []
    stored: Any = (
        client.table("media_assets")
        .select("path, width, title, camera_make")
        .eq("bucket", hostile.bucket)
        .order("path")
        .execute()
        .data
    )
    assert [row["path"] for row in stored] == hostile.paths
    assert stored[1]["width"] == 5
    title = columns["title"]
    if title is not None and title.isprintable() and title.isascii():
        assert stored[0]["title"] == title


@pytest.fixture
def hostile(fill: Callable[[int], Filled]) -> Filled:
    return fill(2)
