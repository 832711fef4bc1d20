"""Edge Functions get requests as on a hosted project, and Deno runs them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from supabase_local import LocalStackError, edge_function
from supabase_local.api_gateway import ApiGateway
from supabase_local.edge_function import EdgeFunction, find_deno
from supabase_local.folder import StackFolder
from supabase_local.server import FunctionsServer
from tests.javascript import install_deno

ECHO = """
Deno.serve(async (request: Request) => Response.json({
  method: request.method,
  path: new URL(request.url).pathname,
  headers: Object.fromEntries(request.headers),
  body: await request.text(),
  secret: Deno.env.get("A_SECRET"),
}, { headers: { "access-control-allow-origin": "https://app.example.com" } }));
"""


@pytest.fixture(scope="module")
def echo(
    needs_node: None, needs_processes: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EdgeFunction]:
    install_deno()
    folder = tmp_path_factory.mktemp("echo")
    (folder / "index.ts").write_text(ECHO)
    log = folder / "function.log"
    with EdgeFunction.start(
        folder, log, secrets={"A_SECRET": "told"}, cache=folder / "deno"
    ) as running:
        yield running


def ask(echo: EdgeFunction, folder: Path, method: str, **headers: str) -> httpx.Response:
    """Ask for a function at the stack's API gateway, which needs no database for that."""

    async def send() -> httpx.Response:
        proxy = FunctionsServer(echo.url, is_edge=True).proxy()
        app = ApiGateway(
            {"/functions/v1": proxy}, StackFolder(folder).keys(), own_cors={"/functions/v1"}
        )
        transport = httpx.ASGITransport(app, client=("203.0.113.7", 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://stack") as http:
            answer = await http.request(
                method, "/functions/v1/hello/a%2Fb", headers=headers, content=b"text"
            )
        await proxy.close()
        return answer

    return asyncio.run(send())


def test_a_function_sees_its_name_its_secrets_and_who_calls(
    echo: EdgeFunction, tmp_path: Path
) -> None:
    forged = {"cf-connecting-ip": "10.0.0.1", "authorization": "Bearer sb_publishable_nobodys"}
    answer = ask(echo, tmp_path, "POST", **forged)
    seen: dict[str, Any] = answer.json()
    assert (seen["method"], seen["path"], seen["body"]) == ("POST", "/hello/a%2Fb", "text")
    assert seen["secret"] == "told"
    assert seen["headers"]["cf-connecting-ip"] == "203.0.113.7"
    assert seen["headers"]["authorization"] == "Bearer sb_publishable_nobodys"
    assert seen["headers"]["host"] == "stack"


def test_a_function_does_its_own_cors(echo: EdgeFunction, tmp_path: Path) -> None:
    asked = {"origin": "https://app.example.com", "access-control-request-method": "POST"}
    answer = ask(echo, tmp_path, "OPTIONS", **asked)
    assert answer.json()["method"] == "OPTIONS"
    assert answer.headers.get_list("access-control-allow-origin") == ["https://app.example.com"]


def test_a_function_that_does_not_start_says_why(
    needs_node: None, needs_processes: None, tmp_path: Path
) -> None:
    install_deno()
    (tmp_path / "index.ts").write_text('throw new Error("no secrets");')
    with pytest.raises(LocalStackError, match=r"The Edge Function did not start"):
        EdgeFunction.start(tmp_path, tmp_path / "log", secrets={}, cache=tmp_path / "deno")


def test_without_deno_it_is_said_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(edge_function, "_PACKAGE", tmp_path)
    with pytest.raises(LocalStackError, match="make deno"):
        find_deno()
