"""The gateway through the Edge Function: what a caller gets, and what the gateway knows of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from media_enricher.dev.edge_function import SECRET, edge_function_secrets, start_edge_function
from tests.gateway.conftest import EDGE_FUNCTION_SECRET, Gateway, Tokens
from tests.javascript import install_deno
from tests.waiting import PATIENCE_SECONDS, wait_for


@pytest.fixture(scope="module")
def through(
    needs_node: None, gateway: Gateway, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """The same gateway, asked through the function."""
    install_deno()
    folder = tmp_path_factory.mktemp("edge-function")
    secrets = edge_function_secrets(gateway.url, {SECRET: EDGE_FUNCTION_SECRET})
    with start_edge_function(folder, folder / "function.log", secrets) as function:
        yield Gateway(function.url, gateway.stack, Path(function.log))


def test_a_run_is_started_and_the_audit_has_the_callers_address(
    through: Gateway, tokens: Tokens, bucket: str
) -> None:
    through.http.headers["cf-connecting-ip"] = "203.0.113.7"
    try:
        answer = through.post("/backfill", tokens.admin, json={}, bucket=bucket, limit="")
        assert answer.status_code == 202, answer.text
        (row,) = through.audit(bucket)
        assert str(row["ip_address"]) == "203.0.113.7"
        refused = through.post("/backfill", "sb_secret_wrong", bucket=bucket)
        assert (refused.status_code, refused.json()["code"]) == (401, "bad_token")
        assert refused.headers["www-authenticate"] == "Bearer"
        counted = "select from audit.enricher_invocations where ip_address = '203.0.113.7'"
        unauthenticated = f"{counted} and reason = 'unauthenticated'"
        wait_for(lambda: through.query(unauthenticated), "the refusal is not counted")
    finally:
        del through.http.headers["cf-connecting-ip"]


@pytest.mark.parametrize("mount", ["", "/functions/v1"])
@pytest.mark.parametrize("key", ["service_key", "service_role_jwt"])
def test_a_server_starts_runs_with_a_key_of_either_kind_at_either_address(
    through: Gateway, bucket: str, mount: str, key: str
) -> None:
    url = f"{through.url}{mount}/media-enricher/backfill"
    wanted = {"bucket": bucket, "prefix": "images/", "limit": 500}  # as the handoff does with curl
    answer = through.post(url, getattr(through.stack, key), json={}, **wanted)
    assert answer.status_code == 202, answer.text
    assert {name: answer.json()[name] for name in wanted} == wanted


def test_the_header_without_the_secret_is_ignored(
    gateway: Gateway, tokens: Tokens, bucket: str
) -> None:
    answer = gateway.http.post(
        "/backfill",
        params={"bucket": bucket, "dry_run": "true"},
        headers={
            "authorization": f"Bearer {tokens.admin}",
            "x-media-enricher-caller-address": "203.0.113.8",
            "x-media-enricher-edge-function-secret": "x" * len(EDGE_FUNCTION_SECRET),
        },
    )
    assert answer.status_code == 200, answer.text
    assert [str(row["ip_address"]) for row in gateway.audit(bucket)] == ["127.0.0.1"]


def test_refusals_keep_their_status_code_and_sentence(
    gateway: Gateway, through: Gateway, tokens: Tokens
) -> None:
    large = b'{"bucket": "' + b"x" * 2**20 + b'"}'
    for method, route, content in (
        ("POST", "/backfill", b"{"),
        ("POST", "/backfill", large),
        ("POST", "/backfill?bucket=no-such-bucket", b""),
        ("POST", "/backfill?limit=0&bucket=a", b""),
        ("GET", "/backfill", b""),
        ("GET", "/nowhere", b""),
        ("GET", f"/runs/{uuid4()}", b""),
    ):
        headers = {"authorization": f"Bearer {tokens.admin}"}
        asked = {"method": method, "url": route, "content": content, "headers": headers}
        expected, answer = gateway.http.request(**asked), through.http.request(**asked)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()) == (expected.status_code, expected.json())
        assert answer.headers.get("allow") == expected.headers.get("allow")


def test_a_webhook_passes_with_its_secret(through: Gateway) -> None:
    answer = through.http.post("/enrich", headers={"x-webhook-secret": "wrong"}, json={})
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_token")
    assert "x-webhook-secret" in answer.json()["error"]


def test_a_hundred_requests_at_once_are_all_answered(through: Gateway, tokens: Tokens) -> None:
    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(
            base_url=f"{through.url}/media-enricher",
            headers={"authorization": f"Bearer {tokens.admin}"},
            limits=httpx.Limits(max_connections=100),
            timeout=PATIENCE_SECONDS,
        ) as http:
            return await asyncio.gather(*(http.get("/me") for _ in range(100)))

    answers = asyncio.run(ask())
    assert {each.status_code for each in answers} == {200}
    assert all(each.json()["may_trigger"] for each in answers)
