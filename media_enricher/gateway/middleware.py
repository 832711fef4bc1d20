"""Middleware of every request and answer: a limit of the body, and headers for browsers."""

from __future__ import annotations

from typing import Any

from media_enricher.gateway.errors import ApiError

LARGEST_BODY = 2**20
"""Bytes. A webhook's payload holds an object's user metadata twice; all else is far smaller."""

_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]


class BodyLimit:
    """ASGI middleware: refuses a body of more than `LARGEST_BODY` bytes, declared or not (413).

    It does so where the body is read: by then the request is on record, and so is the refusal.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        is_too_large = declared.isdigit() and int(declared) > LARGEST_BODY
        read = 0

        async def counted() -> Any:
            nonlocal read
            if is_too_large:
                raise _too_large()
            message = await receive()
            read += len(message.get("body", b""))
            if read > LARGEST_BODY:
                raise _too_large()
            return message

        await self._app(scope, counted, send)


class ResponseHeaders:
    """ASGI middleware: headers that limit what a browser does with an answer."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = list(message["headers"])
                given = {name for name, _ in headers}
                if b"cache-control" not in given:
                    headers.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*headers, *_HEADERS]}
            await send(message)

        await self._app(scope, receive, with_headers)


def _too_large() -> ApiError:
    return ApiError(
        413,
        "too_large",
        f"The body has more than {LARGEST_BODY:,} bytes. Send one bucket or object per request.",
        allowed=LARGEST_BODY,
    )
