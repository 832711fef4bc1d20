"""Storage on its bad days: what is waited out, what fails for now, and what fails for good."""

from __future__ import annotations

import gzip
import io
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from PIL import Image

from media_enricher.engine import EnrichPool
from media_enricher.models import AssetStatus, Depth, ErrorCode
from tests.engine.conftest import MakePool, Put, png
from tests.engine.faulty_storage import (
    Answer,
    FaultyStorage,
    chunked,
    cut_short,
    etag_of,
    misleading,
    overwriting,
    plain,
    refuse,
    silent,
    trickle,
)

LARGE = png(600, 600) + b"\0" * 700_000
"""An image, and more after it than a first range holds."""


@pytest.mark.parametrize("depth", list(Depth))
@pytest.mark.parametrize("status", [429, 503, 544])
def test_overload_is_waited_out(
    status: int, depth: Depth, make_pool: MakePool, put: Put, storage: FaultyStorage
) -> None:
    one = put("a.png", png(1))
    storage.next_answers["b/a.png"] = [refuse(status, Retry_After="1")]
    (outcome,) = make_pool().enrich([one], depth)
    assert outcome.asset.status is AssetStatus.ENRICHED
    first, second = storage.requests_for("b/a.png")
    assert second.at - first.at >= 1.0


def test_overload_in_the_body_counts_too(
    make_pool: MakePool, put: Put, storage: FaultyStorage
) -> None:
    """Storage wraps most of its statuses in a 400."""
    one = put("a.png", png(1))
    body = {"statusCode": "429", "error": "too_many_requests", "message": "Slow down"}
    storage.next_answers["b/a.png"] = [refuse(400, body, Retry_After="0")]
    (outcome,) = make_pool().enrich([one], Depth.FULL)
    assert outcome.asset.status is AssetStatus.ENRICHED


def test_a_date_to_come_back_at_is_kept(
    make_pool: MakePool, put: Put, storage: FaultyStorage
) -> None:
    pool = make_pool()
    one = put("a.png", png(1))
    pool.enrich([put("warm.png", png(2))], Depth.FULL)  # the start of its worker takes time, too
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    storage.next_answers["b/a.png"] = [refuse(429, Retry_After=later)]
    pool.enrich([one], Depth.FULL)
    first, second = storage.requests_for("b/a.png")
    assert second.at - first.at > 0.9  # an HTTP date has whole seconds


def test_one_overload_answer_holds_back_every_object(
    make_pool: MakePool, put: Put, storage: FaultyStorage
) -> None:
    objects = [put(f"{number}.png", png(number)) for number in range(1, 101)]
    storage.delay_seconds = 0.02
    storage.next_answers["b/1.png"] = [refuse(429, Retry_After="3")]
    outcomes = make_pool().enrich(objects, Depth.FULL)
    assert {outcome.asset.status for outcome in outcomes} == {AssetStatus.ENRICHED}
    refused_at = storage.requests_for("b/1.png")[0].at + storage.delay_seconds
    # What was on its way when the refusal came arrives within the first two seconds.
    during_pause = [a for a in storage.requests if refused_at + 2 < a.at < refused_at + 2.9]
    assert during_pause == []


@pytest.mark.parametrize(
    ("status", "code"),
    [(429, ErrorCode.RATE_LIMITED), (503, ErrorCode.UNAVAILABLE), (544, ErrorCode.TIMEOUT)],
)
def test_overload_without_end_fails_for_now(
    status: int, code: ErrorCode, make_pool: MakePool, put: Put, storage: FaultyStorage
) -> None:
    one = put("a.png", png(1))
    storage.usual = refuse(status, Retry_After="0")
    (outcome,) = make_pool(overload_tries=3).enrich([one], Depth.FULL)
    assert outcome.asset.error_code is code
    assert outcome.is_transient_failure
    assert outcome.attempts == 1
    assert len(storage.requests) == 3


@pytest.mark.parametrize("depth", list(Depth))
@pytest.mark.parametrize("reset", [True, False])
def test_a_short_body_is_a_network_error_and_no_truncated_image(
    reset: bool, depth: Depth, shared_pool: EnrichPool, put: Put, storage: FaultyStorage
) -> None:
    one = put("a.png", png(300))
    storage.usual = cut_short(60, reset=reset)
    (outcome,) = shared_pool.enrich([one], depth)
    assert outcome.asset.error_code is ErrorCode.NETWORK
    assert len(storage.requests) == 1, "the retry is the caller's"


def test_no_server_is_a_network_error(make_pool: MakePool, put: Put) -> None:
    pool = make_pool(supabase_url="http://127.0.0.1:9")
    (outcome,) = pool.enrich([put("a.png", png(1))], Depth.FULL)
    assert outcome.asset.error_code is ErrorCode.NETWORK


def test_silence_is_a_timeout(make_pool: MakePool, put: Put, storage: FaultyStorage) -> None:
    pool = make_pool(silence_seconds=0.5)
    one = put("a.png", png(1))
    storage.usual = silent()
    (outcome,) = pool.enrich([one], Depth.FULL)
    assert outcome.asset.error_code is ErrorCode.TIMEOUT
    assert "0.5 seconds" in (outcome.asset.error_message or "")


def test_a_slow_download_is_no_timeout(
    make_pool: MakePool, put: Put, storage: FaultyStorage
) -> None:
    allowed = 4.0  # so much that no pause of a busy machine is as long
    data = png(300, 300)
    one = put("a.png", data)
    storage.usual = trickle(len(data) // 8, every=0.6)  # 4.8 seconds in all
    (outcome,) = make_pool(silence_seconds=allowed).enrich([one], Depth.FULL)
    assert outcome.asset.width == 300
    assert outcome.download_seconds > allowed


@pytest.mark.parametrize("depth", list(Depth))
@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (500, {"statusCode": "500", "error": "internal"}, ErrorCode.UNAVAILABLE),
        (502, "<html>Bad gateway</html>", ErrorCode.UNAVAILABLE),
        (
            500,
            {"statusCode": "500", "error": "Internal", "code": "NoSuchKey"},
            ErrorCode.NOT_FOUND,
        ),
        (400, {"statusCode": "404", "error": "Bucket not found"}, ErrorCode.NOT_FOUND),
        (404, "", ErrorCode.NOT_FOUND),
        (400, {"statusCode": "403", "error": "Unauthorized"}, ErrorCode.FORBIDDEN),
        (401, {"message": "Invalid API key"}, ErrorCode.FORBIDDEN),
        (400, {"statusCode": "400", "error": "InvalidKey"}, ErrorCode.REJECTED),
        (301, "", ErrorCode.REJECTED),
    ],
)
def test_refusals(
    status: int,
    body: dict[str, str] | str,
    code: ErrorCode,
    depth: Depth,
    make_pool: MakePool,
    put: Put,
    storage: FaultyStorage,
) -> None:
    one = put("a.png", png(1))
    storage.usual = refuse(status, body, Location="http://127.0.0.1:9/")
    (outcome,) = make_pool().enrich([one], depth)  # one that has read nothing to look at again
    assert outcome.asset.error_code is code
    assert "HTTP" in (outcome.asset.error_message or "")
    assert len(storage.requests) == 1


def test_bad_objects_do_not_cost_their_neighbours(
    shared_pool: EnrichPool, put: Put, storage: FaultyStorage
) -> None:
    objects = [put(f"{number}.png", png(number)) for number in range(1, 61)]
    for number in range(1, 61, 3):
        storage.next_answers[f"b/{number}.png"] = [cut_short(20, reset=True)]
        storage.next_answers[f"b/{number + 1}.png"] = [refuse(500)]
    outcomes = shared_pool.enrich(objects, Depth.FULL)
    codes = [outcome.asset.error_code for outcome in outcomes]
    assert codes == [ErrorCode.NETWORK, ErrorCode.UNAVAILABLE, None] * 20


@pytest.mark.parametrize("depth", list(Depth))
def test_a_weak_etag_is_stored_as_a_strong_one(
    depth: Depth, shared_pool: EnrichPool, put: Put, storage: FaultyStorage
) -> None:
    one = put("a.png", png(1))
    storage.usual = plain(ETag=f"W/{etag_of(png(1))}")
    (outcome,) = shared_pool.enrich([one], depth)
    assert outcome.asset.etag == etag_of(png(1)) == one.etag


def test_compression_is_not_asked_for(
    shared_pool: EnrichPool, put: Put, storage: FaultyStorage
) -> None:
    shared_pool.enrich([put("a.png", png(1))], Depth.FULL)
    assert storage.requests[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("depth", list(Depth))
def test_a_proxy_that_compresses_all_the_same_is_coped_with(
    depth: Depth, shared_pool: EnrichPool, put: Put, storage: FaultyStorage
) -> None:
    packed = gzip.compress(LARGE)
    one = put("a.png", packed, size_bytes=len(LARGE))
    storage.usual = plain(Content_Encoding="gzip")
    (outcome,) = shared_pool.enrich([one], depth)
    assert outcome.asset.width == 600
    assert outcome.asset.size_bytes == len(LARGE)


def test_a_whole_object_in_answer_to_a_range_is_taken(
    shared_pool: EnrichPool, put: Put, storage: FaultyStorage
) -> None:
    one = put("a.png", LARGE, size_bytes=None)
    storage.usual = plain(ranges=False)
    (outcome,) = shared_pool.enrich([one], Depth.HEADER)
    assert outcome.asset.width == 600
    assert outcome.asset.size_bytes == len(LARGE)
    assert outcome.bytes_read < len(LARGE) / 2, "no more than was asked for"


@pytest.mark.parametrize("depth", list(Depth))
@pytest.mark.parametrize("listed_size", [0, None, 5, 10_000_000])
def test_a_wrong_listed_size_is_put_right(
    listed_size: int | None, depth: Depth, shared_pool: EnrichPool, put: Put
) -> None:
    one = put("a.png", LARGE, size_bytes=listed_size)
    (outcome,) = shared_pool.enrich([one], depth)
    assert outcome.asset.width == 600
    assert outcome.asset.size_bytes == len(LARGE)


@pytest.mark.parametrize("depth", list(Depth))
@pytest.mark.parametrize("listed_size", [0, None, 500])
def test_an_empty_object_is_empty_whatever_its_listing_says(
    listed_size: int | None, depth: Depth, shared_pool: EnrichPool, put: Put, storage: FaultyStorage
) -> None:
    one = put("a.png", b"", size_bytes=listed_size)
    (outcome,) = shared_pool.enrich([one], depth)
    assert outcome.asset.error_code is ErrorCode.EMPTY
    assert outcome.asset.size_bytes == 0
    if listed_size == 0:
        assert [request.byte_range for request in storage.requests] == [None]


def test_a_body_of_unknown_length_is_read_to_its_end(
    shared_pool: EnrichPool, put: Put, storage: FaultyStorage
) -> None:
    one = put("a.png", LARGE, size_bytes=None)
    storage.usual = chunked()
    (outcome,) = shared_pool.enrich([one], Depth.FULL)
    assert outcome.asset.size_bytes == len(LARGE)
    assert outcome.asset.width == 600


def test_a_proxy_without_etags_leaves_that_of_the_listing(
    shared_pool: EnrichPool, put: Put, storage: FaultyStorage
) -> None:
    one = put("a.png", png(1))
    storage.usual = plain(ETag="")
    (outcome,) = shared_pool.enrich([one], Depth.FULL)
    assert outcome.asset.etag == one.etag


PAGE = b"<!doctype html><title>Back soon</title>" * 20


@pytest.mark.parametrize("depth", list(Depth))
@pytest.mark.parametrize(
    "wrong",
    [misleading(body=PAGE), misleading(body=PAGE, etag='"a-page"'), misleading(half=True)],
    ids=["page", "page with an etag", "half"],
)
def test_a_wrong_answer_with_status_200_fails_for_now(
    wrong: Answer, depth: Depth, shared_pool: EnrichPool, put: Put, storage: FaultyStorage
) -> None:
    one = put("a.png", png(300))
    storage.usual = wrong
    (outcome,) = shared_pool.enrich([one], depth)
    assert outcome.is_transient_failure
    storage.usual = plain()
    assert f"expected {len(png(300)):,} bytes" in (outcome.asset.error_message or "")
    (again,) = shared_pool.enrich([one], depth)
    assert again.asset.width == 300


def test_the_bytes_of_the_listing_under_a_wrong_etag_are_known_by_their_md5(
    shared_pool: EnrichPool, put: Put, storage: FaultyStorage
) -> None:
    one = put("a.png", png(300))
    storage.usual = misleading(etag=etag_of(b"another"))
    (outcome,) = shared_pool.enrich([one], Depth.FULL)
    assert outcome.asset.width == 300
    assert outcome.asset.etag == one.etag


@pytest.mark.parametrize("depth", list(Depth))
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_multipart_etag_of_the_same_bytes_leaves_that_of_the_listing(
    quote: str, depth: Depth, shared_pool: EnrichPool, put: Put, storage: FaultyStorage
) -> None:
    """With several ranges too, each of which must be of the version that the first one is of."""
    one = put("a.jpg", jpeg_with_a_late_size(321))
    storage.usual = plain(ETag=f"W/{quote}{'a' * 32}-2{quote}")
    (outcome,) = shared_pool.enrich([one], depth)
    assert outcome.asset.width == 321
    assert outcome.asset.etag == one.etag
    assert outcome.attempts == 1


def test_an_object_overwritten_since_it_was_listed_is_no_fault(
    shared_pool: EnrichPool, put: Put, storage: FaultyStorage
) -> None:
    one = put("a.png", png(300))
    put("a.png", LARGE)
    (outcome,) = shared_pool.enrich([one], Depth.HEADER)
    assert outcome.asset.width == 600
    assert outcome.asset.etag == etag_of(LARGE)


def test_connections_are_kept(make_pool: MakePool, put: Put, storage: FaultyStorage) -> None:
    """For ever so many objects, at most one for each download at once, and as many opened ahead."""
    objects = [put(f"{number}.png", png(number)) for number in range(1, 401)]
    make_pool(downloads_per_worker=32).enrich(objects, Depth.HEADER)
    assert storage.connections <= 2 * 32


def jpeg_with_a_late_size(width: int) -> bytes:
    """A JPEG whose size stands behind 200 kB of comments, so that one range is not enough."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, 10)).save(buffer, "JPEG")
    comment = b"\xff\xfe" + (50_000).to_bytes(2, "big") + b" " * 49_998
    return buffer.getvalue()[:2] + comment * 4 + buffer.getvalue()[2:]


def test_only_the_missing_bytes_are_fetched_by_further_ranges(
    shared_pool: EnrichPool, put: Put, storage: FaultyStorage
) -> None:
    data = jpeg_with_a_late_size(321)
    (outcome,) = shared_pool.enrich([put("a.jpg", data)], Depth.HEADER)
    assert outcome.asset.width == 321
    assert len(storage.requests) > 1
    stops = [0]
    for request in storage.requests:
        start, stop = (request.byte_range or "").removeprefix("bytes=").split("-")
        assert int(start) == stops[-1]
        stops.append(int(stop) + 1)
    assert outcome.bytes_read == min(stops[-1], len(data))


def test_an_object_overwritten_between_two_ranges_is_read_anew(
    shared_pool: EnrichPool, put: Put, storage: FaultyStorage
) -> None:
    old, new = jpeg_with_a_late_size(321), jpeg_with_a_late_size(654)
    one = put("a.jpg", old)
    storage.next_answers["b/a.jpg"] = [plain(), overwriting(storage, "b/a.jpg", new)]
    (outcome,) = shared_pool.enrich([one], Depth.HEADER)
    assert outcome.asset.width == 654
    assert outcome.asset.etag == etag_of(new)


def test_an_object_that_is_overwritten_all_the_time_fails_for_now(
    shared_pool: EnrichPool, put: Put, storage: FaultyStorage
) -> None:
    versions = [jpeg_with_a_late_size(width) for width in range(1, 20)]
    one = put("a.jpg", versions[0])
    storage.next_answers["b/a.jpg"] = [
        overwriting(storage, "b/a.jpg", version) for version in versions[1:]
    ]
    (outcome,) = shared_pool.enrich([one], Depth.HEADER)
    assert outcome.is_transient_failure
    assert "overwritten" in (outcome.asset.error_message or "")
