"""What the function passes on, in both directions, and what it keeps back."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest

from supabase_local.edge_function import EdgeFunction
from tests.edge_function.conftest import CALLER, SHARED_SECRET, Client, FakeGateway

ADDRESS = "x-media-enricher-caller-address"
SECRET = "x-media-enricher-edge-function-secret"


def raw(function: EdgeFunction, target: str, method: str = "GET") -> tuple[int, bytes]:
    """Ask with a request target as it is, which other clients would tidy up."""
    connection = http.client.HTTPConnection(urlsplit(function.url).netloc, timeout=30)
    connection.putrequest(method, target, skip_accept_encoding=True)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.read()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_method_path_and_query_reach_the_gateway_as_they_were_sent(
    client: Client, method: str
) -> None:
    seen = client.seen(method, "/backfill?bucket=a%20b&prefix=x%2Fy+z&limit=&empty")
    assert seen["method"] == method
    assert seen["path"] == "/media-enricher/backfill?bucket=a%20b&prefix=x%2Fy+z&limit=&empty"


def test_a_body_is_passed_on_as_it_comes(client: Client) -> None:
    assert client.seen(content=b'{"bucket": "a"}')["body"] == '{"bucket": "a"}'
    assert client.seen(content=iter([b"one ", b"two"]))["body"] == "one two"
    assert client.seen()["body"] == ""
    large = b"x" * 2_000_000
    assert client.seen(content=large)["body"] == large.decode()


def test_a_get_with_a_body_is_forwarded_without_it(client: Client) -> None:
    assert client.seen("GET", content=b"{}")["body"] == ""


@pytest.mark.parametrize(
    ("query", "passed_on"),
    [
        ("?forceFunctionRegion=eu-west-1", ""),
        ("?bucket=a&forceFunctionRegion=eu-west-1", "?bucket=a"),
        ("?force%46unctionRegion=eu-west-1&bucket=a", "?bucket=a"),
        ("?bucket=forceFunctionRegion", "?bucket=forceFunctionRegion"),
    ],
)
def test_supabase_js_region_is_dropped(client: Client, query: str, passed_on: str) -> None:
    assert client.seen(path=f"/backfill{query}")["path"] == f"/media-enricher/backfill{passed_on}"


def test_it_answers_below_functions_v1_too(function: EdgeFunction) -> None:
    answer = httpx.post(f"{function.url}/functions/v1/media-enricher/backfill?bucket=a")
    assert answer.json()["path"] == "/media-enricher/backfill?bucket=a"


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/functions/v1/",
        "/other/backfill",
        "/media-enrichers",
        "/media-enricher/../secret",
        "/media-enricher/%2e%2e/secret",
        "/media-enricher/.%2E/secret",
        "/media-enricher/..%2fsecret",
        "/media-enricher/%252e%252e/secret",
        "/media-enricher//other.example/x",
        "/media-enricher/..\\secret",
        "/media-enricher/%5c%5cother.example",
        "/media-enricher/a%2Fb",
        "/media-enricher/.env",
        "/media-enricher/a@other.example",
        "//other.example/media-enricher/backfill",
        "/functions/v1/functions/v1/media-enricher/me",
    ],
)
def test_nothing_but_the_gateways_routes_can_be_asked_for(
    function: EdgeFunction, target: str
) -> None:
    before = list(FakeGateway.requests)
    status, body = raw(function, target)
    assert status == 404
    assert b'"code":"not_found"' in body
    assert FakeGateway.requests == before


def test_a_path_that_stays_inside_is_tidied_up(function: EdgeFunction) -> None:
    status, body = raw(function, "/media-enricher/x/../me")
    assert status == 200
    assert b'"path": "/media-enricher/me"' in body


def test_an_absolute_target_goes_to_the_gateway_all_the_same(function: EdgeFunction) -> None:
    status, body = raw(function, "http://other.example/media-enricher/me")
    assert status == 200
    assert b'"path": "/media-enricher/me"' in body


@pytest.mark.parametrize("host", ["", "a b", "[", "other.example:99999"])
def test_a_strange_host_changes_nothing(function: EdgeFunction, host: str) -> None:
    address = urlsplit(function.url)
    with socket.create_connection((address.hostname, address.port or 0), 30) as connection:
        request = f"GET /media-enricher/me HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        status = connection.makefile("rb").readline().split()[1]
    assert status in {b"200", b"400"}


def test_a_gateway_may_have_a_path_of_its_own(
    start_function: Callable[..., EdgeFunction], fake_gateway: str
) -> None:
    with start_function(MEDIA_ENRICHER_URL=f"{fake_gateway}/base/") as function:
        seen = Client(function).seen(path="/me?a=b")
    assert seen["path"] == "/base/media-enricher/me?a=b"


@pytest.mark.parametrize("method", ["TRACE", "TRACK"])
def test_methods_that_cannot_be_forwarded_are_refused(function: EdgeFunction, method: str) -> None:
    status, body = raw(function, "/media-enricher/me", method)
    assert status == 405
    assert b'"code":"method_not_allowed"' in body


def test_only_headers_that_the_gateway_reads_are_forwarded(client: Client) -> None:
    passed_on = {
        "authorization": "Bearer sb_secret_x",
        "apikey": "sb_publishable_x",
        "content-type": "application/json",
        "idempotency-key": "k",
        "user-agent": "tests",
        "x-client-info": "supabase-js/2",
        "x-webhook-secret": "w",
    }
    kept_back = {
        "cookie": "session=1",
        "forwarded": "for=10.0.0.1",
        "origin": "https://app.example.com",
        "referer": "https://app.example.com/admin",
        "x-forwarded-for": "10.0.0.1",
        "x-forwarded-host": "evil.example",
        "x-forwarded-proto": "https",
        "x-real-ip": "10.0.0.1",
        "x-internal": "1",
    }
    headers = client.seen(headers=passed_on | kept_back)["headers"]
    assert {name: headers[name] for name in passed_on} == passed_on
    assert not set(kept_back) & set(headers)
    assert set(headers) <= set(passed_on) | {
        *("accept", "accept-encoding", "accept-language", "host", "transfer-encoding"),
        *("connection", "content-length"),
    }


def test_the_gateway_is_told_who_calls_with_the_secret(client: Client) -> None:
    forged = {ADDRESS: "10.0.0.1", SECRET: "forged"}
    headers = client.seen(headers={"cf-connecting-ip": CALLER, **forged})["headers"]
    assert (headers[ADDRESS], headers[SECRET]) == (CALLER, SHARED_SECRET)


@pytest.mark.parametrize("header", [{}, {"x-forwarded-for": CALLER}, {"cf-connecting-ip": "x; y"}])
def test_without_a_known_address_neither_header_is_sent(
    client: Client, header: dict[str, str]
) -> None:
    headers = client.seen(headers={ADDRESS: "10.0.0.1", SECRET: SHARED_SECRET, **header})["headers"]
    assert ADDRESS not in headers
    assert SECRET not in headers


def test_another_platform_names_another_header(
    start_function: Callable[..., EdgeFunction],
) -> None:
    with start_function(MEDIA_ENRICHER_CALLER_ADDRESS_HEADER="X-Forwarded-For") as function:
        client = Client(function)
        seen = client.seen(headers={"x-forwarded-for": f"10.0.0.1, {CALLER}"})
        assert seen["headers"][ADDRESS] == CALLER  # what a proxy added, not what the caller said
        assert ADDRESS not in client.seen(headers={"cf-connecting-ip": CALLER})["headers"]


@pytest.mark.parametrize("status", [200, 202, 400, 401, 403, 404, 409, 413, 422, 429, 500, 503])
def test_the_gateways_status_and_sentence_reach_the_caller(client: Client, status: int) -> None:
    answer = client.http.post(f"/media-enricher/{status}")
    assert answer.status_code == status
    assert answer.json() == {"code": "of_the_gateway"}
    assert answer.headers["retry-after"] == "17"
    assert "set-cookie" not in answer.headers
    assert "x-internal" not in answer.headers


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_stays_one(client: Client, status: int) -> None:
    answer = client.http.get(f"/media-enricher/{status}")
    assert (answer.status_code, answer.content) == (status, b"")


def test_head_has_the_headers_alone(client: Client) -> None:
    answer = client.http.head("/media-enricher/429")
    assert (answer.status_code, answer.content) == (429, b"")
    assert answer.headers["retry-after"] == "17"


def test_an_answer_that_was_compressed_anyway_can_be_read(client: Client) -> None:
    assert client.http.get("/media-enricher/gzip").json() == {"packed": True}


def test_an_answer_is_passed_on_as_it_comes(client: Client) -> None:
    FakeGateway.may_go_on.clear()
    with client.http.stream("GET", "/media-enricher/pieces") as answer:
        pieces = answer.iter_bytes()
        assert next(pieces) == b"one "
        FakeGateway.may_go_on.set()
        assert b"".join(pieces) == b"two."
