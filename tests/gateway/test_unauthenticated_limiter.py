"""Requests without valid credentials, and refused ones of users: limited, counted, and not kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from media_enricher.gateway.errors import ApiError
from media_enricher.gateway.unauthenticated_limiter import (
    COUNTED_ADDRESSES,
    REMEMBERED_ADDRESSES,
    AddressLimit,
    UnauthenticatedLimiter,
    origin_of,
)
from media_enricher.models import ErrorCode
from media_enricher.supabase.errors import SupabaseError
from tests.gateway.conftest import Gateway, Tokens
from tests.waiting import wait_for

SECRET_TEXT = "text-of-the-callers-own"


def counted(gateway: Gateway) -> list[dict[str, Any]]:
    return gateway.query(
        "select * from audit.enricher_invocations where reason = 'unauthenticated'"
    )


def unauthenticated_requests(gateway: Gateway) -> int:
    return sum(row["requests"] for row in counted(gateway))


def test_1500_anonymous_requests_leave_a_row_a_minute_and_no_text(
    gateway: Gateway, bucket: str
) -> None:
    gateway.query("delete from audit.enricher_invocations")
    headers = {"user-agent": SECRET_TEXT, "authorization": f"Bearer {SECRET_TEXT}"}
    for number in range(500):
        requests: tuple[dict[str, Any], ...] = (
            {"url": "/backfill", "params": {"bucket": bucket, "prefix": SECRET_TEXT}},
            {"url": f"/enrich?bucket={SECRET_TEXT}", "json": {"path": SECRET_TEXT * 100}},
            {"url": "/enrich", "headers": {"x-webhook-secret": f"{SECRET_TEXT}{number}"}},
        )
        for request in requests:
            answer = gateway.http.post(**{"headers": headers} | request)
            assert answer.status_code == 401

    wait_for(lambda: unauthenticated_requests(gateway) >= 1500)
    rows = gateway.query("select * from audit.enricher_invocations")
    minutes = {row["invoked_at"].replace(second=0, microsecond=0) for row in rows}
    assert len(rows) <= len(minutes) + 1, "a row a minute"
    assert not any(SECRET_TEXT in str(row) or bucket in str(row) for row in rows)
    assert {str(row["ip_address"]) for row in rows} == {"127.0.0.1"}


def test_too_many_of_an_address_are_429_and_valid_keys_behind_it_still_pass(
    start_gateway: Callable[..., Gateway], tokens: Tokens, bucket: str
) -> None:
    gateway = start_gateway(MEDIA_ENRICHER_UNAUTHENTICATED_PER_MINUTE="3")

    answers = [gateway.post("/backfill", bucket=bucket) for _ in range(3)]
    answers += [gateway.get("/runs", "junk") for _ in range(3)]

    statuses = [answer.status_code for answer in answers]
    assert statuses[:3] == [401, 401, 401]
    assert statuses[-1] == 429
    assert answers[-1].json()["code"] == "rate_limited"
    assert 0 < int(answers[-1].headers["retry-after"]) <= 20, "one comes back every 20 s"
    assert gateway.post("/backfill", tokens.admin, bucket=bucket, dry_run=True).status_code == 200
    assert gateway.as_service("/backfill", bucket=bucket, dry_run=True).status_code == 200


def test_two_gateways_count_into_the_same_row(
    gateway: Gateway, start_gateway: Callable[..., Gateway]
) -> None:
    other = start_gateway()
    gateway.query("delete from audit.enricher_invocations")

    for each in (gateway, other):
        for _ in range(5):
            each.post("/backfill")

    wait_for(lambda: unauthenticated_requests(gateway) >= 10)
    rows = counted(gateway)
    minutes = {row["invoked_at"].replace(second=0, microsecond=0) for row in rows}
    assert len(rows) == len(minutes)


def test_a_user_who_is_refused_again_and_again_leaves_few_rows(
    gateway: Gateway, tokens: Tokens, bucket: str
) -> None:
    user = tokens.of()
    for _ in range(50):
        assert gateway.post("/backfill", user, bucket=bucket).status_code == 403

    rows = gateway.query(
        "select * from audit.enricher_invocations where requested_by ="
        " (select requested_by from audit.enricher_invocations where bucket = $1 limit 1)",
        bucket,
    )
    assert len(rows) <= 2 * 11, "ten a minute and one that counts"
    assert sum(row["requests"] for row in rows) == 50
    assert all(row["bucket"] is None for row in rows if row["reason"] == "refused_again")
    assert {row["is_allowed"] for row in rows} == {False}


def test_a_limit_refills_within_a_minute_for_each_address() -> None:
    now = 0.0
    limit = AddressLimit(2, lambda: now)

    assert [limit.take("a"), limit.take("a"), limit.take("a")] == [0, 0, 30]
    assert limit.take("b") == 0
    now = 20.0
    assert limit.take("a") == pytest.approx(10)
    now = 30.0
    assert limit.take("a") == 0
    now = 1000.0
    assert [limit.take("a"), limit.take("a"), limit.take("a")] == [0, 0, 30]


def test_a_limit_remembers_only_so_many_addresses() -> None:
    limit = AddressLimit(1)
    for number in range(2 * REMEMBERED_ADDRESSES):
        limit.take(str(number))

    assert len(limit._left) == REMEMBERED_ADDRESSES


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("a name", ""),
        (None, ""),
    ],
)
def test_an_ipv6_address_counts_as_its_network(host: str | None, origin: str) -> None:
    assert origin_of(host) == origin


def test_many_addresses_share_a_row_and_what_was_not_told_is_told_later() -> None:
    recorded: list[dict[str, int]] = []
    is_away = True

    async def record(counts: Any) -> None:
        if is_away:
            raise SupabaseError(ErrorCode.NETWORK, "The database is away.")
        recorded.append(dict(counts))

    limiter = UnauthenticatedLimiter(1000, record)
    error = ApiError(401, "no_token", "No.")
    for number in range(2 * COUNTED_ADDRESSES):
        limiter.count(f"10.0.{number // 256}.{number % 256}", error)

    async def flush_three_times() -> None:
        nonlocal is_away
        await limiter.flush()
        is_away = False
        await limiter.flush()
        await limiter.flush()

    asyncio.run(flush_three_times())

    (counts,) = recorded
    assert len(counts) == COUNTED_ADDRESSES + 1
    assert (counts[""], sum(counts.values())) == (COUNTED_ADDRESSES, 2 * COUNTED_ADDRESSES)
