"""`/functions/v1`: requests reach the gateway as the client sent them, and answers come back."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from supabase_local import LocalStack
from tests.waiting import PATIENCE_SECONDS, PROMPT_SECONDS

PATH = "/functions/v1/media-enricher/runs/a%2Fb"


class Echo(BaseHTTPRequestHandler):
    """A gateway that answers what it was asked."""

    may_go_on = threading.Event()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        asked = {"path": self.path, "headers": dict(self.headers), "body": body.decode()}
        content = json.dumps(asked).encode()
        self.send_response(202)
        self.send_header("content-length", str(len(content)))
        self.send_header("retry-after", "7")
        self.send_header("access-control-allow-origin", "https://elsewhere.example")
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        """Two pieces, the second only once it is allowed."""
        self.send_response(200)
        self.send_header("content-length", "8")
        self.end_headers()
        self.wfile.write(b"one ")
        self.may_go_on.wait(PATIENCE_SECONDS)
        self.wfile.write(b"two.")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def gateway() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def with_functions(
    needs_stack: None,
    gateway: ThreadingHTTPServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LocalStack]:
    url = f"http://127.0.0.1:{gateway.server_address[1]}"
    with LocalStack.start(tmp_path_factory.mktemp("functions"), functions_url=url) as stack:
        yield stack


def test_the_gateway_gets_the_whole_path_and_the_headers_as_they_were_sent(
    with_functions: LocalStack,
) -> None:
    answer = httpx.post(
        f"{with_functions.url}{PATH}?bucket=a%20b&limit=3",
        json={"x": 1},
        headers={
            "host": "project.example",
            "authorization": "Bearer sb_publishable_nobodys",
            "x-webhook-secret": "s",
            "origin": "http://localhost:3000",
        },
    )
    asked = answer.json()
    assert answer.status_code == 202
    assert asked["path"] == f"{PATH}?bucket=a%20b&limit=3"
    assert json.loads(asked["body"]) == {"x": 1}
    sent = {name.lower(): value for name, value in asked["headers"].items()}
    assert sent["host"] == "project.example"
    assert sent["authorization"] == "Bearer sb_publishable_nobodys"
    assert sent["x-webhook-secret"] == "s"
    assert answer.headers["retry-after"] == "7"
    assert answer.headers.get_list("access-control-allow-origin") == ["*"]


def test_browsers_are_let_through_to_the_gateway(with_functions: LocalStack) -> None:
    asked = {"origin": "http://localhost:3000", "access-control-request-method": "POST"}
    answer = httpx.options(f"{with_functions.url}{PATH}", headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"


def test_an_answer_is_passed_on_as_it_comes(with_functions: LocalStack) -> None:
    Echo.may_go_on.clear()
    with httpx.stream("GET", f"{with_functions.url}{PATH}", timeout=PROMPT_SECONDS) as answer:
        pieces = answer.iter_bytes()
        assert next(pieces) == b"one "
        Echo.may_go_on.set()
        assert b"".join(pieces) == b"two."


def test_without_a_gateway_it_is_said_to_be_away(
    gateway: ThreadingHTTPServer, with_functions: LocalStack
) -> None:
    gateway.shutdown()
    gateway.server_close()
    answer = httpx.post(f"{with_functions.url}{PATH}", json={})
    assert answer.status_code == 503
    assert "does not answer" in answer.json()["message"]


def test_a_stack_without_a_gateway_has_no_functions(stack: LocalStack) -> None:
    assert httpx.post(f"{stack.url}{PATH}", json={}).status_code == 404
