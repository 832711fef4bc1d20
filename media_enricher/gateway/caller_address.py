"""The caller's address, as the Edge Function tells it.

To the gateway, every request through the Edge Function comes from a machine of Supabase's. The
function says in a header who called, and proves itself by a secret that both share. Without the
secret the header is worth nothing, for everybody can send it.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from pydantic import SecretStr

from media_enricher.gateway.auth import is_same_secret

_ADDRESS = b"x-media-enricher-caller-address"
_SECRET = b"x-media-enricher-edge-function-secret"


class CallerAddress:
    """ASGI middleware: the client of a request is the one that the Edge Function names.

    It also takes both headers away, so that nothing behind it can store the secret.
    """

    def __init__(self, app: Any, secret: SecretStr | None) -> None:
        self._app = app
        self._secret = secret.get_secret_value() if secret else None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope = self._told(scope)
        await self._app(scope, receive, send)

    def _told(self, scope: Any) -> Any:
        addresses = _values(scope, _ADDRESS)
        secrets = _values(scope, _SECRET)
        if not addresses and not secrets:
            return scope
        others = [header for header in scope["headers"] if header[0] not in {_ADDRESS, _SECRET}]
        scope = {**scope, "headers": others}
        if self._is_trusted(secrets) and len(addresses) == 1 and _is_address(addresses[0]):
            scope["client"] = (addresses[0], 0)
        return scope

    def _is_trusted(self, secrets: list[str]) -> bool:
        if self._secret is None or len(secrets) != 1:
            return False
        return is_same_secret(secrets[0], self._secret)


def _values(scope: Any, name: bytes) -> list[str]:
    return [value.decode("latin-1") for given, value in scope["headers"] if given == name]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
