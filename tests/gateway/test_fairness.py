"""Nobody shuts out others: quotas of runs, prefixes that overlap, and how long one has to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest

from supabase_local import LocalStack
from tests.gateway.conftest import QUOTAS, WEBHOOK_SECRET, Gateway, Tokens, gateway_process
from tests.waiting import wait_for

DEFAULTS = {"": "10", "TENANT_": "4", "USER_": "4", "SERVICE_": "100"}


@pytest.fixture(scope="module")
def two_gateways(
    migrated_stack: LocalStack, deployments: None, gateway_folder: Path
) -> Iterator[list[Gateway]]:
    """Two of them side by side, with the quotas that are the default."""
    quotas = {f"MEDIA_ENRICHER_{name}ACTIVE_RUNS": DEFAULTS[name] for name in QUOTAS}
    with (
        gateway_process(migrated_stack, gateway_folder, quotas) as one,
        gateway_process(migrated_stack, gateway_folder, quotas) as other,
    ):
        yield [one, other]


@pytest.fixture
def gateways(two_gateways: list[Gateway]) -> list[Gateway]:
    """The two, and nothing under way."""
    two_gateways[0].query("update media_enricher.run_requests set released_at = now()")
    return two_gateways


def test_overlapping_prefixes_of_one_tenant_are_one_run(
    gateways: list[Gateway], tokens: Tokens, bucket: str
) -> None:
    tenant = str(uuid4())
    admin = tokens.tenant_admin(tenant)
    first = gateways[0].post("/backfill", admin, bucket=bucket, prefix=f"{tenant}/")
    assert first.status_code == 202

    for number in range(10):
        answer = gateways[number % 2].post(
            "/backfill", admin, bucket=bucket, prefix=f"{tenant}/{'0' * (number + 1)}"
        )

        assert answer.status_code == 200
        assert answer.json() == first.json() | {
            "already_running": True,
            "asked_prefix": f"{tenant}/{'0' * (number + 1)}",
            "status_url": answer.json()["status_url"],
        }
    assert len(gateways[0].query("select from media_enrich_runs where bucket = $1", bucket)) == 1


@pytest.mark.parametrize(
    ("running", "asked", "is_covered"),
    [
        ({}, {"depth": "header"}, True),
        ({"mode": "all"}, {"mode": "failed"}, True),
        ({"depth": "header"}, {}, False),
        ({}, {"mode": "stale"}, False),
        ({"limit": 100}, {}, False),
    ],
    ids=str,
)
def test_a_broader_run_does_what_is_asked_only_if_it_looks_at_as_much(
    gateway: Gateway,
    bucket: str,
    running: dict[str, str],
    asked: dict[str, str],
    is_covered: bool,
) -> None:
    gateway.as_service("/backfill", bucket=bucket, **running)

    answer = gateway.as_service("/backfill", bucket=bucket, prefix="images/", **asked)

    assert answer.status_code == (200 if is_covered else 202)


def test_a_broader_request_after_a_narrower_one_starts_a_run_of_its_own(
    gateway: Gateway, bucket: str
) -> None:
    narrow = gateway.as_service("/backfill", bucket=bucket, prefix="images/")
    broad = gateway.as_service("/backfill", bucket=bucket)

    assert (narrow.status_code, broad.status_code) == (202, 202)
    assert (
        gateway.as_service("/backfill", bucket=bucket, prefix="i").json()["run_id"]
        == (broad.json()["run_id"])
    )


def test_a_tenant_that_asks_for_all_it_may_have_leaves_room_for_the_others(
    gateways: list[Gateway], tokens: Tokens, make_bucket: Callable[[], str]
) -> None:
    tenant, other = str(uuid4()), str(uuid4())

    def ask(number: int, token: str, folder: str) -> httpx.Response:
        # Each time another user, another bucket, another gateway.
        return gateways[number % 2].post(
            "/backfill", token, bucket=make_bucket(), prefix=f"{folder}/"
        )

    answers = [ask(number, tokens.tenant_admin(tenant), tenant) for number in range(10)]

    assert [answer.status_code for answer in answers] == [202] * 4 + [429] * 6
    refused = answers[-1]
    assert refused.json()["code"] == "too_many_runs"
    assert "tenant" in refused.json()["error"]
    assert int(refused.headers["retry-after"]) == refused.json()["retry_after"]
    assert ask(0, tokens.tenant_admin(other), other).status_code == 202
    for number in range(12):
        answer = gateways[number % 2].as_service("/backfill", bucket=make_bucket())
        assert answer.status_code == 202


def test_a_user_has_a_quota_too_and_all_users_together(
    gateways: list[Gateway], tokens: Tokens, make_bucket: Callable[[], str]
) -> None:
    def ask(number: int, token: str) -> int:
        return gateways[number % 2].post("/backfill", token, bucket=make_bucket()).status_code

    one = tokens.admin
    assert [ask(number, one) for number in range(6)] == [202] * 4 + [429] * 2
    assert [ask(number, tokens.admin) for number in range(7)] == [202] * 6 + [429]
    assert gateways[0].as_service("/backfill", bucket=make_bucket()).status_code == 202


def test_the_service_keys_runs_take_no_room_of_users(
    gateways: list[Gateway], tokens: Tokens, make_bucket: Callable[[], str]
) -> None:
    for _ in range(11):
        assert gateways[0].as_service("/backfill", bucket=make_bucket()).status_code == 202

    assert gateways[1].post("/backfill", tokens.admin, bucket=make_bucket()).status_code == 202


def test_retry_after_is_when_the_first_of_the_runs_is_done(
    start_gateway: Callable[..., Gateway], tokens: Tokens, make_bucket: Callable[[], str]
) -> None:
    gateway = start_gateway(MEDIA_ENRICHER_USER_ACTIVE_RUNS="2")
    admin = tokens.admin
    runs = [
        gateway.post("/backfill", admin, bucket=make_bucket()).json()["run_id"] for _ in range(2)
    ]
    for run_id, done in zip(runs, (250, 500), strict=True):
        gateway.query(
            """update media_enrich_runs set status = 'running', total_files = 1000,
            succeeded = $2, started_at = now() - interval '100 s', heartbeat_at = now()
            where id = $1""",
            run_id,
            done,
        )

    answer = gateway.post("/backfill", admin, bucket=make_bucket())

    # Half done in 100 s: another 100 s. The other one needs 300 s more.
    assert answer.status_code == 429
    assert 100 <= int(answer.headers["retry-after"]) <= 110


def test_a_tenants_cron_neither_waits_for_another_tenant_nor_learns_of_it(
    gateway: Gateway, tokens: Tokens, bucket: str
) -> None:
    tenant, other = str(uuid4()), str(uuid4())
    theirs = gateway.as_service("/backfill", bucket=bucket, prefix=f"{other}/").json()["run_id"]

    answer = gateway.post("/cron", tokens.tenant_admin(tenant), bucket=bucket, prefix=f"{tenant}/")

    assert answer.status_code == 202
    assert answer.json()["run_id"] != theirs
    assert other not in answer.text


def test_a_tenant_can_follow_the_broader_run_that_does_its_work(
    gateway: Gateway, tokens: Tokens, bucket: str
) -> None:
    tenant = str(uuid4())
    admin = tokens.tenant_admin(tenant)
    everything = gateway.as_service("/backfill", bucket=bucket).json()["run_id"]

    joined = gateway.post("/backfill", admin, bucket=bucket, prefix=f"{tenant}/")
    seen = gateway.get(f"/runs/{joined.json()['run_id']}", admin)

    assert (joined.status_code, joined.json()["run_id"]) == (200, everything)
    assert (seen.status_code, seen.json()["status"]) == (200, "queued")
    assert seen.json()["bucket"] is None, "how it gets on, and no more"
    assert gateway.post(f"/runs/{everything}/cancel", admin).status_code == 403


def test_a_flood_of_one_tenants_uploads_gets_a_queue_of_its_own(
    gateway: Gateway, bucket: str
) -> None:
    flooding, quiet = str(uuid4()), str(uuid4())
    gateway.query(
        """insert into media_enricher.requested_objects (bucket, prefix, path)
        select $1, '', $2 || '/' || n from generate_series(1, 200) n""",
        bucket,
        flooding,
    )

    for path in (f"{flooding}/one-more.jpg", f"{quiet}/one.jpg", "of-no-tenant.jpg"):
        payload = {
            "type": "INSERT",
            "table": "objects",
            "schema": "storage",
            "record": {"bucket_id": bucket, "name": path},
        }
        headers = {"x-webhook-secret": WEBHOOK_SECRET}
        gateway.http.post("/enrich", json=payload, headers=headers).raise_for_status()

    queues = gateway.query(
        """select prefix, path from media_enricher.requested_objects
        where bucket = $1 and path not like $2 order by path""",
        bucket,
        f"{flooding}/___",
    )
    by_path = {row["path"]: row["prefix"] for row in queues if "jpg" in row["path"]}
    assert by_path == {
        f"{flooding}/one-more.jpg": f"{flooding}/",
        f"{quiet}/one.jpg": "",
        "of-no-tenant.jpg": "",
    }
    runs = gateway.query("select prefix from media_enrich_runs where bucket = $1", bucket)
    assert sorted(run["prefix"] for run in runs) == ["", f"{flooding}/"]


def test_a_tenant_may_have_so_many_single_objects_waiting(
    start_gateway: Callable[..., Gateway], tokens: Tokens, bucket: str
) -> None:
    gateway = start_gateway(MEDIA_ENRICHER_WAITING_OBJECTS="3")
    tenant, other = str(uuid4()), str(uuid4())

    def ask(folder: str, number: int) -> httpx.Response:
        body = {"bucket": bucket, "path": f"{folder}/{number}.jpg"}
        return gateway.post("/enrich", tokens.tenant_admin(folder), json=body)

    answers = [ask(tenant, number) for number in range(5)]

    assert [answer.status_code for answer in answers] == [202, 202, 202, 429, 429]
    assert answers[-1].json()["code"] == "too_many_objects"
    assert int(answers[-1].headers["retry-after"]) > 0
    assert ask(other, 0).status_code == 202


@contextmanager
def locked(gateway: Gateway, table: str) -> Iterator[None]:
    """Nobody reads the table until the block is left."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(gateway.stack.database_url))
        transaction = connection.transaction()
        runner.run(transaction.start())
        runner.run(connection.execute(f"lock table {table} in access exclusive mode"))
        try:
            yield
        finally:
            runner.run(transaction.rollback())
            runner.run(connection.close())


def test_who_is_counting_already_waits_and_nobody_else(
    gateway: Gateway, tokens: Tokens, bucket: str
) -> None:
    """A count reads a whole bucket's index, and a gateway makes few at once."""
    one, another = tokens.admin, tokens.admin

    def count(token: str) -> httpx.Response:
        return gateway.post_once("/backfill", token, bucket=bucket, dry_run=True)

    def is_counting() -> bool:
        return bool(
            gateway.query(
                "select from pg_locks where not granted"
                " and relation = 'public.media_assets'::regclass"
            )
        )

    with ThreadPoolExecutor(2) as pool:
        with locked(gateway, "public.media_assets"):
            first = pool.submit(count, one)
            wait_for(is_counting)
            again = count(one)
            second = pool.submit(count, another)
        assert (again.status_code, again.json()["code"]) == (429, "rate_limited")
        assert int(again.headers["retry-after"]) > 0
        assert (first.result().status_code, second.result().status_code) == (200, 200)
    assert count(one).status_code == 200
