"""Preflights are answered by the function itself, by the gateway's rules."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from media_enricher.gateway.cors import EXPOSED_HEADERS, HEADERS, METHODS, cors
from media_enricher.project_files import EDGE_FUNCTION
from supabase_local.edge_function import EdgeFunction
from tests.edge_function.conftest import ORIGIN, Client, FakeGateway

PREFLIGHTS: list[dict[str, str]] = [
    {"origin": ORIGIN, "access-control-request-method": "POST"},
    {
        "origin": "https://admin.example.com",
        "access-control-request-method": "GET",
        "access-control-request-headers": "authorization,apikey, X-Client-Info,content-type",
    },
    {"origin": "https://evil.example", "access-control-request-method": "POST"},
    {"origin": "null", "access-control-request-method": "POST"},
    {"origin": f"{ORIGIN}.evil.example", "access-control-request-method": "POST"},
    {"origin": ORIGIN, "access-control-request-method": "DELETE"},
    {
        "origin": ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, x-webhook-secret",
    },
]


def list_of(name: str) -> set[str]:
    """A list of `cors.ts`, in lower case."""
    source = (EDGE_FUNCTION / "cors.ts").read_text(encoding="utf-8")
    found = re.search(rf"const {name} = \[(.*?)\];", source, re.DOTALL)
    assert found, name
    return {each.lower() for each in re.findall(r'"([^"]+)"', found[1])}


def test_the_function_has_the_gateways_lists() -> None:
    safe = {"accept", "accept-language", "content-language", "content-type"}  # Starlette adds them
    assert list_of("METHODS") == {each.lower() for each in METHODS}
    assert list_of("HEADERS") == {each.lower() for each in HEADERS} | safe
    assert list_of("EXPOSED_HEADERS") == {each.lower() for each in EXPOSED_HEADERS}


def cors_headers(answer: httpx.Response) -> dict[str, str | set[str]]:
    """Those of an answer; lists without their order and case."""
    names = ("allow-origin", "allow-methods", "allow-headers", "expose-headers", "max-age")
    found: dict[str, str | set[str]] = {}
    for name in names:
        value = answer.headers.get(f"access-control-{name}", "")
        found[name] = {each.strip().lower() for each in value.split(",")}
    return found


@pytest.mark.parametrize("origins", [(ORIGIN, "https://admin.example.com"), ("*",), ()])
def test_it_answers_as_the_gateway_would(
    start_function: Callable[..., EdgeFunction], origins: tuple[str, ...]
) -> None:
    gateway = httpx.ASGITransport(Starlette(middleware=[cors(origins)]))

    async def ask_gateway(headers: dict[str, str]) -> httpx.Response:
        async with httpx.AsyncClient(transport=gateway, base_url="http://gateway") as http:
            return await http.options("/media-enricher/backfill", headers=headers)

    before = list(FakeGateway.requests)
    with start_function(MEDIA_ENRICHER_CORS_ORIGINS=",".join(origins)) as function:
        for headers in PREFLIGHTS:
            expected = asyncio.run(ask_gateway(headers))
            answer = Client(function).http.options("/media-enricher/backfill", headers=headers)
            assert answer.status_code == expected.status_code, headers
            assert cors_headers(answer) == cors_headers(expected), headers
    assert FakeGateway.requests == before


def test_pages_of_allowed_origins_may_read_answers(client: Client) -> None:
    for path in ("/media-enricher/429", "/media-enricher//nowhere"):
        allowed = client.http.post(path, headers={"origin": ORIGIN}).headers
        assert allowed["access-control-allow-origin"] == ORIGIN
        assert allowed["access-control-expose-headers"] == "Retry-After"
        assert allowed["vary"] == "Origin"
        refused = client.http.post(path, headers={"origin": "https://evil.example"}).headers
        assert "access-control-allow-origin" not in refused
        assert refused["vary"] == "Origin"


def test_options_that_is_no_preflight_is_the_gateways(client: Client) -> None:
    assert client.seen("OPTIONS")["method"] == "OPTIONS"


def test_the_cli_does_not_let_the_platform_check_tokens() -> None:
    config = tomllib.loads((Path(EDGE_FUNCTION).parents[1] / "config.toml").read_text())
    assert config["functions"] == {"media-enricher": {"verify_jwt": False}}
