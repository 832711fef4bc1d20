"""The server that the gateway runs in: whose headers it trusts, and how long it waits.

uvicorn has no limit on how long a request may take to arrive, so a client that sends a byte now and
then would keep its connection for ever. `GuardedProtocol` ends those.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from media_enricher.settings import GatewaySettings

STOP_SECONDS = 10
"""How long requests under way get to end once the server is to stop; then they are cut off."""
LARGEST_HEAD = 64 * 1024
"""Bytes of a request before its body."""
_TOO_SLOW = (
    b'{"error": "The request did not arrive in time. Send it without pauses.", "code": "too_slow"}'
)


class GuardedProtocol(H11Protocol):
    """HTTP/1.1 by uvicorn, for requests that arrive whole within `seconds`.

    The time counts from a connection's start, or from a request's first byte. What the gateway
    needs for its answer does not count, nor does the pause between two requests, which is uvicorn's
    keep-alive.
    """

    seconds: float
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._set_deadline()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear_deadline()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Set the deadline while a request has begun to arrive and is not here yet."""
        state = self.conn.their_state
        is_arriving = state is h11.SEND_BODY or (
            state is h11.IDLE and bool(self.conn.trailing_data[0])
        )
        if is_arriving:
            self._set_deadline()
        else:
            self._clear_deadline()

    def _set_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.seconds, self._end)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):  # nothing was answered yet
            self.transport.write(
                b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\n"
                b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(_TOO_SLOW), _TOO_SLOW)
            )
        self.transport.close()


def guarded(seconds: float) -> type[GuardedProtocol]:
    """The protocol with its limit, as a class, for uvicorn makes the instances."""
    return type("_Guarded", (GuardedProtocol,), {"seconds": seconds})


def server_options(settings: GatewaySettings) -> dict[str, Any]:
    """The options for `uvicorn.run`."""
    return {
        "http": guarded(settings.request_seconds),
        "ws": "none",
        "h11_max_incomplete_event_size": LARGEST_HEAD,
        "limit_concurrency": settings.connections,
        # By default, uvicorn believes what any local process says of a caller's address.
        "proxy_headers": bool(settings.trusted_proxies),
        "forwarded_allow_ips": list(settings.trusted_proxies),
        "timeout_graceful_shutdown": STOP_SECONDS,
        "server_header": False,
        "log_config": None,
    }


def serve(app: Any, host: str, port: int, settings: GatewaySettings) -> None:
    """Serve the app until a signal ends it."""
    uvicorn.run(app, host=host, port=port, **server_options(settings))
