"""What the server believes of a connection, how long it waits, and how many it keeps."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from media_enricher.gateway.dependencies import own_origin
from supabase_local import LocalStack
from tests.gateway.conftest import Gateway, gateway_process
from tests.waiting import PATIENCE_SECONDS, PROMPT_SECONDS, wait_for

HEAD = b"POST /media-enricher/backfill HTTP/1.1\r\nhost: gateway\r\n"


@pytest.fixture(scope="module")
def impatient(
    migrated_stack: LocalStack, deployments: None, gateway_folder: Path
) -> Iterator[Gateway]:
    """A gateway that waits a second for a request, so that the tests need not wait for longer."""
    seconds = {"MEDIA_ENRICHER_REQUEST_SECONDS": "1"}
    with gateway_process(migrated_stack, gateway_folder, seconds) as running:
        yield running


@contextlib.contextmanager
def connection(gateway: Gateway) -> Iterator[socket.socket]:
    address = urlsplit(gateway.url)
    with socket.create_connection((address.hostname, address.port), PATIENCE_SECONDS) as opened:
        yield opened


def rest(opened: socket.socket) -> bytes:
    """All that comes until the gateway ends the connection."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while more := opened.recv(65536):
            received += more
    return received


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /media-enr",
        HEAD,
        HEAD + b"content-length: 100\r\n\r\n",
        HEAD + b"content-length: 100\r\n\r\n{",
        HEAD + b"transfer-encoding: chunked\r\n\r\n4\r\n",
    ],
    ids=["nothing", "half a line", "half a head", "no body", "half a body", "half a chunk"],
)
def test_a_request_that_stops_half_way_is_ended(impatient: Gateway, sent: bytes) -> None:
    with connection(impatient) as opened:
        opened.sendall(sent)
        answer = rest(opened)

    assert answer.startswith((b"HTTP/1.1 408", b"HTTP/1.1 401"))


def test_one_that_is_sent_byte_by_byte_is_ended_all_the_same(impatient: Gateway) -> None:
    endless = iter(lambda: b"x-a: b\r\n", b"")

    def is_ended() -> bool:
        try:
            opened.sendall(next(endless))
        except OSError:
            return True
        return False

    with connection(impatient) as opened:
        opened.sendall(HEAD)
        wait_for(is_ended, "it is still being listened to", seconds=PROMPT_SECONDS, every=0.2)


def test_the_second_request_of_a_connection_is_watched_as_the_first(impatient: Gateway) -> None:
    with connection(impatient) as opened:
        opened.sendall(b"GET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n")
        first = opened.recv(65536)
        opened.sendall(HEAD)
        second = rest(opened)

    assert first.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408" in second


def test_of_one_with_a_valid_key_the_audit_tells_and_the_log_does_not_complain(
    impatient: Gateway, bucket: str
) -> None:
    key = impatient.stack.service_key
    with connection(impatient) as opened:
        opened.sendall(
            f"POST /media-enricher/backfill?bucket={bucket} HTTP/1.1\r\nhost: gateway\r\n"
            f"authorization: Bearer {key}\r\ncontent-length: 100\r\n\r\n{{".encode()
        )
        answer = rest(opened)

    assert answer.startswith(b"HTTP/1.1 408")
    wait_for(lambda: impatient.audit(bucket))
    assert [row["http_status"] for row in impatient.audit(bucket)] == [408]
    assert "Traceback" not in impatient.log.read_text()


def test_a_whole_request_has_as_long_as_its_answer_takes(
    start_gateway: Callable[..., Gateway], bucket: str
) -> None:
    gateway = start_gateway(MEDIA_ENRICHER_REQUEST_SECONDS="0.05")

    # A start takes longer than that.
    assert gateway.as_service("/backfill", bucket=bucket).status_code == 202


def test_a_long_head_is_refused(gateway: Gateway) -> None:
    with connection(gateway) as opened:
        opened.sendall(HEAD + b"x-padding: " + b"x" * 200_000)
        answer = rest(opened)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")


def test_only_so_many_connections_at_once(start_gateway: Callable[..., Gateway]) -> None:
    gateway = start_gateway(MEDIA_ENRICHER_CONNECTIONS="4")

    def is_full() -> bool:
        return httpx.get(f"{gateway.url}/healthz").status_code == httpx.codes(503)

    with contextlib.ExitStack() as kept:
        for _ in range(6):
            kept.enter_context(connection(gateway))
        wait_for(is_full)
    # Those that send nothing are ended, so there is room again.
    wait_for(lambda: not is_full(), seconds=PROMPT_SECONDS)


def test_what_a_caller_says_of_its_address_is_not_believed(gateway: Gateway, bucket: str) -> None:
    forwarded(gateway, bucket)

    assert [str(row["ip_address"]) for row in gateway.audit(bucket)] == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("proxies", "address"),
    [("127.0.0.1", "192.0.2.7"), ("127.0.0.0/8", "192.0.2.7"), ("10.0.0.1", "127.0.0.1")],
)
def test_a_proxy_is_believed_where_it_is_configured(
    start_gateway: Callable[..., Gateway], bucket: str, proxies: str, address: str
) -> None:
    gateway = start_gateway(MEDIA_ENRICHER_TRUSTED_PROXIES=proxies)

    forwarded(gateway, bucket)

    assert [str(row["ip_address"]) for row in gateway.audit(bucket)] == [address]


def forwarded(gateway: Gateway, bucket: str) -> None:
    gateway.http.post(
        "/backfill",
        params={"bucket": bucket, "dry_run": True},
        headers={
            "authorization": f"Bearer {gateway.stack.service_key}",
            "x-forwarded-for": "192.0.2.7",
            "x-forwarded-proto": "https",
        },
    ).raise_for_status()


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1:1", ""])
def test_a_foreign_host_is_never_echoed(gateway: Gateway, bucket: str, host: str) -> None:
    answer = gateway.http.post(
        "/backfill",
        params={"bucket": bucket},
        headers={
            "authorization": f"Bearer {gateway.stack.service_key}",
            "host": host,
            "x-forwarded-host": "evil.example",
        },
    )

    assert answer.json()["status_url"] == f"/media-enricher/runs/{answer.json()['run_id']}"


def test_no_redirect_leads_to_a_foreign_host(gateway: Gateway) -> None:
    for path in ("backfill/", "runs/", "admin/", "admin//evil.example"):
        answer = httpx.get(f"{gateway.url}/media-enricher/{path}", headers={"host": "evil.example"})
        assert "evil.example" not in answer.headers.get("location", "")


def test_a_public_url_is_what_links_are_made_of(
    start_gateway: Callable[..., Gateway], bucket: str
) -> None:
    gateway = start_gateway(MEDIA_ENRICHER_PUBLIC_URL="https://media.example.com/functions/v1")

    told = gateway.as_service("/backfill", bucket=bucket).json()

    run_id = told["run_id"]
    assert (
        told["status_url"] == f"https://media.example.com/functions/v1/media-enricher/runs/{run_id}"
    )


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8090", "http://localhost:8090"),
        ("[::1]:8090", "http://[::1]:8090"),
        ("10.1.2.3:8090", "http://10.1.2.3:8090"),
        ("10.1.2.4:8090", ""),
        ("10.1.2.3", ""),
        ("localhost:8090@evil.example", ""),
    ],
)
def test_a_host_is_ours_if_it_names_where_we_listen(host: str, origin: str) -> None:
    scope = {
        "scheme": "http",
        "server": ("10.1.2.3", 8090),
        "headers": [(b"host", host.encode())],
    }

    assert own_origin(scope) == origin
    assert own_origin({**scope, "server": None}) == ""


def test_the_answer_to_a_slow_request_is_json(impatient: Gateway) -> None:
    with connection(impatient) as opened:
        opened.sendall(HEAD)
        _, _, body = rest(opened).partition(b"\r\n\r\n")

    assert json.loads(body)["code"] == "too_slow"
