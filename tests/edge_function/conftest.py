"""The Edge Function, run by Deno, in front of a stand-in that answers what it was asked."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from media_enricher.dev.edge_function import SECRET, start_edge_function
from supabase_local.edge_function import EdgeFunction
from supabase_local.ports import HOST
from tests.javascript import install_deno
from tests.waiting import PATIENCE_SECONDS

SHARED_SECRET = "a-secret-that-only-the-function-and-the-gateway-know"
ORIGIN = "https://app.example.com"
CALLER = "203.0.113.7"


class FakeGateway(BaseHTTPRequestHandler):
    """Answers with what it was asked, or as the path of the request says."""

    protocol_version = "HTTP/1.1"
    may_go_on: ClassVar[threading.Event] = threading.Event()
    """What is answered in pieces, or late, waits for this."""
    requests: ClassVar[list[str]] = []
    """The paths that were asked for."""

    def __getattr__(self, name: str) -> object:
        """`do_GET` and all other methods."""
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def answer(self) -> None:
        self.requests.append(self.path)
        body = self._body()
        route = self.path.partition("?")[0].removeprefix("/base").removeprefix("/media-enricher/")
        status, headers, content = 200, {"content-type": "application/json"}, b""
        if route.isdigit():
            status, content = int(route), b'{"code": "of_the_gateway"}'
            headers |= {"retry-after": "17", "set-cookie": "a=b", "x-internal": "yes"}
        elif route.startswith("proxy-"):
            status, content = int(route.removeprefix("proxy-")), b"<h1>Bad Gateway</h1>"
            headers = {"content-type": "text/html"}
        elif route == "redirect":
            status, headers = 302, {"location": f"http://{self.headers['host']}/elsewhere"}
        elif route == "gzip":
            headers["content-encoding"] = "gzip"
            content = gzip.compress(b'{"packed": true}')
        elif route in {"pieces", "stalls"}:
            self._send_pieces()
            return
        elif route == "hangs":
            self.may_go_on.wait(PATIENCE_SECONDS)
        else:
            seen = {
                "method": self.command,
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "body": body.decode(),
            }
            content = json.dumps(seen).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        has_body = status not in {204, 304}  # what came after one would be read as the next answer
        if has_body:
            self.send_header("content-length", str(len(content)))
        self.end_headers()
        if has_body and self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...

    def _send_pieces(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "8")
        self.end_headers()
        self.wfile.write(b"one ")
        self.may_go_on.wait(PATIENCE_SECONDS)
        self.wfile.write(b"two.")

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)


@pytest.fixture(scope="package")
def fake_gateway() -> Iterator[str]:
    """Its base URL."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 200
        daemon_threads = True

        def handle_error(self, *_: object) -> None: ...

    with Server((HOST, 0), FakeGateway) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{HOST}:{server.server_address[1]}"
        FakeGateway.may_go_on.set()
        server.shutdown()


@pytest.fixture(scope="package")
def deno_cache(
    needs_node: None, needs_processes: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What Deno has compiled, for all functions of the tests."""
    install_deno()
    return tmp_path_factory.mktemp("deno")


@pytest.fixture(scope="package")
def start_function(deno_cache: Path, fake_gateway: str) -> Iterator[Callable[..., EdgeFunction]]:
    """Starts a function, with secrets of its own besides the usual ones."""
    usual = {
        "MEDIA_ENRICHER_URL": fake_gateway,
        "MEDIA_ENRICHER_CORS_ORIGINS": f"{ORIGIN}, https://admin.example.com",
        SECRET: SHARED_SECRET,
    }
    with ExitStack() as running:

        def start(**secrets: str) -> EdgeFunction:
            log = deno_cache / "function.log"
            return running.enter_context(start_edge_function(deno_cache, log, usual | secrets))

        yield start


@pytest.fixture(scope="package")
def function(start_function: Callable[..., EdgeFunction]) -> EdgeFunction:
    """The one with the usual secrets."""
    return start_function()


class Client:
    """Asks the function, and reads what the gateway behind it was asked."""

    def __init__(self, function: EdgeFunction) -> None:
        self.http = httpx.Client(base_url=function.url, timeout=PATIENCE_SECONDS)

    def seen(self, method: str = "POST", path: str = "/backfill", **options: Any) -> dict[str, Any]:
        """What the gateway got."""
        answer = self.http.request(method, f"/media-enricher{path}", **options)
        assert answer.status_code == 200, answer.text
        seen: dict[str, Any] = answer.json()
        return seen


@pytest.fixture
def client(function: EdgeFunction) -> Client:
    return Client(function)
