"""The API gateway, which every request passes: CORS, API keys, and the service of each path.

As Supabase's own gateway does, it exchanges `sb_publishable_…` and `sb_secret_…` keys for the
tokens of their roles before a service sees the request.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qs

import orjson

from supabase_local.keys import StackKeys
from supabase_local.tokens import InvalidTokenError, TokenVerifier

_ALLOW_ORIGIN = (b"access-control-allow-origin", b"*")
_EXPOSE = (b"access-control-expose-headers", b"*")
_SET_HERE = frozenset({_ALLOW_ORIGIN[0], _EXPOSE[0]})
_METHODS = b"GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT"
_NEEDS_API_KEY = ("/rest/v1",)
_TAKES_ANY_KEY = ("/functions/v1",)
"""Functions check for themselves who calls, so they get the credentials as the caller sent them."""


class KeyRefusedError(Exception):
    """A request without an API key, or with an invalid one. The message is the one of Supabase."""


class ApiGateway:
    """The ASGI app of the whole stack."""

    def __init__(
        self, services: Mapping[str, Any], keys: StackKeys, *, own_cors: Collection[str] = ()
    ) -> None:
        """Mount services by prefix, as `{"/rest/v1": app}`.

        Args:
            services: the apps.
            keys: the stack's.
            own_cors: the prefixes of services that answer preflights and set CORS headers.
        """
        self._services = dict(services)
        self._own_cors = frozenset(own_cors)
        self._verifier = TokenVerifier(keys)
        self._role_tokens = {
            keys.publishable_key: keys.anon_jwt,
            keys.secret_key: keys.service_role_jwt,
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return  # no websockets here: uvicorn answers 403
        path: str = scope["path"]
        prefix = "/".join(path.split("/", 3)[:3])
        service = self._services.get(prefix)
        if scope["method"] == "OPTIONS" and prefix not in self._own_cors:
            await _preflight(scope, send)
            return
        if service is None:
            await _answer(send, 404, {"message": f"no Route matched with those values: {path}"})
            return
        try:
            headers = self._with_role_token(scope, prefix)
        except KeyRefusedError as refusal:
            await _answer(send, 401, {"message": str(refusal)})
            return
        inner = {**scope, "path": path[len(prefix) :] or "/", "headers": headers}

        async def send_with_cors(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [each for each in message["headers"] if each[0] not in _SET_HERE]
                message = {**message, "headers": [*headers, _ALLOW_ORIGIN, _EXPOSE]}
            await send(message)

        await service(inner, receive, send if prefix in self._own_cors else send_with_cors)

    def _with_role_token(self, scope: Any, prefix: str) -> list[tuple[bytes, bytes]]:
        """The request's headers, with a role's token where a key stood for it.

        Raises:
            KeyRefusedError: the service needs a key, or the key is unknown.
        """
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        if prefix in _TAKES_ANY_KEY:
            return headers
        by_name = dict(headers)
        bearer = _bearer(by_name.get(b"authorization"))
        api_key = by_name.get(b"apikey", b"").decode("latin-1") or _query_key(scope)
        if not api_key and prefix in _NEEDS_API_KEY:
            raise KeyRefusedError("No API key found in request")
        if api_key:
            token_of_key = self._token_of_key(api_key)
            bearer = bearer if bearer and bearer != api_key else token_of_key
        if bearer.startswith("sb_"):
            bearer = self._token_of_key(bearer)
        if not bearer:
            return headers
        others = [header for header in headers if header[0] != b"authorization"]
        return [*others, (b"authorization", f"Bearer {bearer}".encode("latin-1"))]

    def _token_of_key(self, key: str) -> str:
        if key.startswith("sb_"):
            token = self._role_tokens.get(key)
            if token is None:
                raise KeyRefusedError("Invalid API key")
            return token
        try:
            self._verifier.verify(key)
        except InvalidTokenError:
            raise KeyRefusedError("Invalid API key") from None
        return key


def _bearer(header: bytes | None) -> str:
    if header is None:
        return ""
    scheme, _, token = header.decode("latin-1").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _query_key(scope: Any) -> str:
    if b"apikey=" not in scope["query_string"]:
        return ""
    query: str = scope["query_string"].decode("latin-1")
    return parse_qs(query).get("apikey", [""])[-1]


async def _preflight(scope: Any, send: Any) -> None:
    by_name = dict(scope["headers"])
    headers = [
        _ALLOW_ORIGIN,
        (b"access-control-allow-methods", _METHODS),
        (
            b"access-control-allow-headers",
            by_name.get(b"access-control-request-headers", b"authorization, apikey, content-type"),
        ),
        (b"access-control-max-age", b"3600"),
        (b"content-length", b"0"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _answer(send: Any, status: int, body: dict[str, Any]) -> None:
    content = orjson.dumps(body)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(content)),
        _ALLOW_ORIGIN,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
