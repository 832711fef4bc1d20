"""The same bytes uploaded again under another content type are another version, and done again."""

from __future__ import annotations

from typing import Any, cast

from prefect.client.schemas.objects import State

from flows.backfill import backfill
from tests.flows.conftest import FilledBucket, photo

PAGE = b"<!doctype html><html><body>hello</body></html>"


def run(bucket: FilledBucket) -> str:
    state = cast("State[Any]", backfill(bucket.name, return_state=True))
    assert state.is_completed(), state
    return state.message or ""


def test_a_content_type_that_was_set_right_sets_the_row_right(bucket: FilledBucket) -> None:
    bucket.put("page.bin", PAGE, "image/png")
    bucket.put("logo.png", photo(1, fmt="PNG"), "text/plain;charset=UTF-8")
    run(bucket)
    rows = bucket.rows()
    assert (rows["page.bin"]["status"], rows["page.bin"]["error_code"]) == ("failed", "mislabelled")
    assert rows["page.bin"]["declared_content_type"] == "image/png"
    assert rows["logo.png"]["declared_content_type"] == "text/plain;charset=UTF-8"
    assert run(bucket) == "Nothing to do"

    bucket.put("page.bin", PAGE, "text/html")
    bucket.put("logo.png", photo(1, fmt="PNG"), "image/png")
    run(bucket)
    before, rows = rows, bucket.rows()
    assert {path: row["etag"] for path, row in rows.items()} == {
        path: row["etag"] for path, row in before.items()
    }
    page, logo = rows["page.bin"], rows["logo.png"]
    assert (page["status"], page["declared_content_type"]) == ("unsupported", "text/html")
    assert (logo["status"], logo["declared_content_type"]) == ("enriched", "image/png")
    assert (page["attempts"], logo["attempts"]) == (1, 1)
    assert run(bucket) == "Nothing to do"


def test_a_wrong_content_type_is_seen_again_after_a_right_one(bucket: FilledBucket) -> None:
    """The task cache has the answer of the first time, and it is the right one."""
    for declared, status in (
        ("image/png", "failed"),
        ("text/html", "unsupported"),
        ("image/png", "failed"),
    ):
        bucket.put("page.bin", PAGE, declared)
        run(bucket)
        row = bucket.rows()["page.bin"]
        assert (row["declared_content_type"], row["status"]) == (declared, status)
    assert run(bucket) == "Nothing to do"
