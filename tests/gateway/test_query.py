"""What a query has that says nothing."""

from __future__ import annotations

import pytest

from media_enricher.gateway.query import normalized
from tests.gateway.conftest import Gateway, Tokens


@pytest.mark.parametrize(
    ("query", "left"),
    [
        (b"limit=&prefix=", b""),
        (b"bucket=a&limit=&mode=all", b"bucket=a&mode=all"),
        (b"limit&bucket=a", b"bucket=a"),
        (b"li%6Dit=&bucket=a", b"bucket=a"),
        (b"bucket=a&forceFunctionRegion=eu-west-1", b"bucket=a"),
        (b"forceFunctionRegion=&bucket=a", b"bucket=a"),
        (b"limit=&limit=5", b"limit=5"),
        (b"limit=0&prefix=%20", b"limit=0&prefix=%20"),
        (b"bucket=&mode=&dry_run=&path=", b"bucket=&mode=&dry_run=&path="),
        (b"bucket=%ff%00&prefix=\xff", b"bucket=%ff%00&prefix=\xff"),
    ],
)
def test_what_says_nothing_is_taken_out_and_all_else_left_as_it_was(
    query: bytes, left: bytes
) -> None:
    assert normalized(query) == left


def test_a_form_that_is_not_filled_in_starts_a_run_over_the_whole_bucket(
    gateway: Gateway, tokens: Tokens, bucket: str
) -> None:
    region = {"forceFunctionRegion": "eu-west-1"}
    answer = gateway.post("/backfill", tokens.admin, bucket=bucket, limit="", prefix="", **region)
    assert answer.status_code == 202, answer.text
    assert (answer.json()["limit"], answer.json()["prefix"]) == (None, "")


def test_an_empty_limit_lists_as_many_runs_as_usual(gateway: Gateway, tokens: Tokens) -> None:
    answer = gateway.get("/runs", tokens.admin, limit="", forceFunctionRegion="eu-west-1")
    assert answer.status_code == 200, answer.text


def test_a_bucket_that_is_empty_is_still_a_mistake(gateway: Gateway) -> None:
    for route in ("/backfill", "/cron"):
        answer = gateway.as_service(route, bucket="")
        assert (answer.status_code, answer.json()["field"]) == (422, "bucket")
