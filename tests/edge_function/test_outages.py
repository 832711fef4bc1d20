"""A gateway that is away, hangs, or is not the one that answers: 503 in the gateway's own shape."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from supabase_local.edge_function import EdgeFunction
from supabase_local.ports import HOST, free_port
from tests.edge_function.conftest import ORIGIN, Client, FakeGateway
from tests.waiting import PATIENCE_SECONDS, wait_for


def assert_unavailable(answer: httpx.Response, retry_after: int = 2) -> None:
    assert answer.status_code == 503
    body = answer.json()
    assert body["code"] == "unavailable"
    assert body["error"].endswith(" Try again in a moment.")
    assert body["retry_after"] == retry_after
    assert answer.headers["retry-after"] == str(retry_after)
    assert answer.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize("host", [HOST, "no-such-gateway.invalid"])
def test_a_gateway_that_is_away(
    start_function: Callable[..., EdgeFunction], deno_cache: Path, host: str
) -> None:
    with start_function(MEDIA_ENRICHER_URL=f"http://{host}:{free_port()}") as function:
        http = Client(function).http
        for options in ({}, {"json": {"bucket": "a"}}, {"content": b"x" * 2_000_000}):
            route = "/media-enricher/backfill?bucket=of-the-caller"
            answer = http.post(route, headers={"origin": ORIGIN}, **options)
            assert_unavailable(answer)
        preflight = {"origin": ORIGIN, "access-control-request-method": "POST"}
        assert http.options("/media-enricher/backfill", headers=preflight).status_code == 200
    log = (deno_cache / "function.log").read_text().rpartition("--- started")[2]
    assert log.count("The gateway cannot be reached: Error: ") == 3
    assert "of-the-caller" not in log


def test_a_gateway_that_hangs(start_function: Callable[..., EdgeFunction]) -> None:
    FakeGateway.may_go_on.clear()
    with start_function(MEDIA_ENRICHER_EDGE_FUNCTION_SECONDS="0.5") as function:
        answer = Client(function).http.post("/media-enricher/hangs", headers={"origin": ORIGIN})
        assert_unavailable(answer)
        assert "within 0.5 s" in answer.json()["error"]

        def was_cut() -> bool:
            """Whether an answer that had begun was cut; on a busy machine it may not have begun."""
            with Client(function).http.stream("GET", "/media-enricher/stalls") as begun:
                if begun.status_code == 503:
                    return False
                with pytest.raises(httpx.RemoteProtocolError):
                    begun.read()
            return True

        wait_for(was_cut, "no answer begins")
    FakeGateway.may_go_on.set()


@pytest.mark.parametrize("status", [502, 503, 504, 520, 530])
def test_the_error_page_of_a_proxy_is_no_answer(client: Client, status: int) -> None:
    headers = {"origin": ORIGIN}
    assert_unavailable(client.http.post(f"/media-enricher/proxy-{status}", headers=headers))


def test_a_proxys_retry_after_counts(client: Client) -> None:
    assert_unavailable(client.http.post("/media-enricher/502", headers={"origin": ORIGIN}), 17)


def test_a_redirect_is_not_followed(client: Client) -> None:
    before = len(FakeGateway.requests)
    assert_unavailable(client.http.post("/media-enricher/redirect", headers={"origin": ORIGIN}))
    assert FakeGateway.requests[before:] == ["/media-enricher/redirect"]


@pytest.mark.parametrize(
    "url", ["", "media.example.com", "ftp://media.example.com", "https://user:pw@example.com"]
)
def test_without_the_gateways_address_the_log_says_so(
    start_function: Callable[..., EdgeFunction], deno_cache: Path, url: str
) -> None:
    with start_function(MEDIA_ENRICHER_URL=url) as function:
        answer = Client(function).http.post("/media-enricher/backfill")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    log = (deno_cache / "function.log").read_text().rpartition("--- started")[2]
    assert "MEDIA_ENRICHER_URL is not" in log
    assert "pw@" not in log


def test_other_secrets_that_are_invalid_are_named_and_not_used(
    start_function: Callable[..., EdgeFunction], deno_cache: Path
) -> None:
    with start_function(
        MEDIA_ENRICHER_EDGE_FUNCTION_SECRET="short",
        MEDIA_ENRICHER_EDGE_FUNCTION_SECONDS="forever",
        MEDIA_ENRICHER_CALLER_ADDRESS_HEADER="x y",
    ) as function:
        headers = Client(function).seen(headers={"cf-connecting-ip": "203.0.113.7"})["headers"]
    assert not [name for name in headers if name.startswith("x-media-enricher")]
    log = (deno_cache / "function.log").read_text().rpartition("--- started")[2]
    for name in ("EDGE_FUNCTION_SECRET", "EDGE_FUNCTION_SECONDS", "CALLER_ADDRESS_HEADER"):
        assert f"MEDIA_ENRICHER_{name}" in log
    assert "short" not in log


def test_a_hundred_requests_at_once(function: EdgeFunction) -> None:
    async def ask() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(
            base_url=function.url, limits=limits, timeout=PATIENCE_SECONDS
        ) as http:
            asked = (http.post("/media-enricher/backfill", json={"number": n}) for n in range(100))
            return await asyncio.gather(*asked)

    answers = asyncio.run(ask())
    assert [each.status_code for each in answers] == [200] * 100
    assert [each.json()["body"] for each in answers] == [f'{{"number":{n}}}' for n in range(100)]
