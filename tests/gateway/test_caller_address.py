"""The caller's address comes from the Edge Function alone, which proves itself by the secret."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import SecretStr

from media_enricher.gateway.caller_address import CallerAddress

SECRET = "a-secret-that-only-the-function-and-the-gateway-know"
ADDRESS_HEADER = b"x-media-enricher-caller-address"
SECRET_HEADER = b"x-media-enricher-edge-function-secret"
FUNCTION = ("198.51.100.1", 443)
CALLER = "203.0.113.7"
OTHERS = [(b"host", b"gateway"), (b"x-forwarded-for", b"10.0.0.1")]


def scope_of(*headers: tuple[bytes, bytes], secret: str | None = SECRET) -> dict[str, Any]:
    """What the app behind the middleware is given for a request of the function's."""
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope)

    given = {"type": "http", "client": FUNCTION, "headers": [*OTHERS, *headers]}
    middleware = CallerAddress(app, SecretStr(secret) if secret else None)
    asyncio.run(middleware(given, None, None))
    return seen[0]


@pytest.mark.parametrize("address", [CALLER, "2001:db8::7", "::ffff:203.0.113.7"])
def test_with_the_secret_the_address_counts(address: str) -> None:
    scope = scope_of((ADDRESS_HEADER, address.encode()), (SECRET_HEADER, SECRET.encode()))
    assert scope["client"] == (address, 0)


@pytest.mark.parametrize(
    "headers",
    [
        [(ADDRESS_HEADER, CALLER.encode())],
        [(ADDRESS_HEADER, CALLER.encode()), (SECRET_HEADER, b"")],
        [(ADDRESS_HEADER, CALLER.encode()), (SECRET_HEADER, SECRET[:-1].encode())],
        [(ADDRESS_HEADER, CALLER.encode()), (SECRET_HEADER, f"{SECRET}x".encode())],
        [(ADDRESS_HEADER, CALLER.encode()), (SECRET_HEADER, "é".encode("latin-1"))],
        [
            (ADDRESS_HEADER, CALLER.encode()),
            (SECRET_HEADER, b"wrong"),
            (SECRET_HEADER, SECRET.encode()),
        ],
        [
            (ADDRESS_HEADER, b"10.0.0.1"),
            (ADDRESS_HEADER, CALLER.encode()),
            (SECRET_HEADER, SECRET.encode()),
        ],
        [(ADDRESS_HEADER, b"nobody"), (SECRET_HEADER, SECRET.encode())],
        [(ADDRESS_HEADER, b"10.0.0.1, 10.0.0.2"), (SECRET_HEADER, SECRET.encode())],
        [(SECRET_HEADER, SECRET.encode())],
    ],
)
def test_otherwise_the_client_is_who_connected(headers: list[tuple[bytes, bytes]]) -> None:
    scope = scope_of(*headers)
    assert scope["client"] == FUNCTION
    assert scope["headers"] == OTHERS  # and nobody behind it sees a secret


def test_a_gateway_without_a_secret_believes_nobody() -> None:
    for given in (b"", b"None", SECRET.encode()):
        headers = [(ADDRESS_HEADER, CALLER.encode()), (SECRET_HEADER, given)]
        assert scope_of(*headers, secret=None)["client"] == FUNCTION
