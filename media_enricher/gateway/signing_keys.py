"""The public keys that a Supabase project signs its users' tokens with: its JWKS, kept a while."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import httpx
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from media_enricher.gateway.errors import unavailable

KEPT_SECONDS = 600.0
"""After this long the project is asked again, for it may have revoked a key."""
ASK_AGAIN_SECONDS = 10.0
"""The project is not asked more often than this, however many unknown keys tokens name."""
ASK_SOONER_SECONDS = 1.0
"""The same while no keys are known at all."""
ANSWER_SECONDS = 1.5
"""The project has so long to answer: the caller waits."""
_log = logging.getLogger(__name__)


class SigningKeys:
    """The project's signing keys by `kid`. An async context manager, for it holds connections."""

    def __init__(self, project_url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = f"{project_url}/auth/v1/.well-known/jwks.json"
        self._http = httpx.AsyncClient()
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._keys: dict[str, jwt.PyJWK] | None = None
        self._stale_at = 0.0
        self._ask_again_at = float("-inf")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def find(self, kid: str) -> jwt.PyJWK | None:
        """The ES256 or RS256 key of an id; None if the project has no such key.

        While the project's Auth is away, the keys that were known stay good.

        Raises:
            ApiError: 503; Auth is away and no keys are known yet.
        """
        if self._should_ask(kid):
            async with self._one_at_a_time:
                if self._should_ask(kid):  # nobody else has, while this one waited
                    await self._ask()
        if self._keys is None:
            raise unavailable(
                "Supabase Auth, which has the keys to verify tokens, does not answer.",
                ASK_SOONER_SECONDS,
            )
        return self._keys.get(kid)

    def _should_ask(self, kid: str) -> bool:
        now = self._clock()
        if now < self._ask_again_at:
            return False
        return self._keys is None or kid not in self._keys or now >= self._stale_at

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._http.get(self._url)
            self._keys = _usable_keys(answer.raise_for_status().content)
            self._stale_at = self._clock() + KEPT_SECONDS
        except (httpx.HTTPError, TimeoutError, msgspec.DecodeError, jwt.PyJWKSetError) as reason:
            _log.warning(
                "Could not load signing keys from %s: %r. Known keys stay valid.", self._url, reason
            )
        pause = ASK_SOONER_SECONDS if self._keys is None else ASK_AGAIN_SECONDS
        self._ask_again_at = self._clock() + pause


class _KeySet(msgspec.Struct):
    keys: list[dict[str, object]]


def _usable_keys(content: bytes) -> dict[str, jwt.PyJWK]:
    """The keys of a JWKS that verify ES256 or RS256 and have an id.

    Raises:
        DecodeError: it is no JWKS.
        PyJWKSetError: it has keys, and PyJWT understands none of them.
    """
    listed = msgspec.json.decode(content, type=_KeySet).keys
    if not listed:
        return {}  # a project that still signs with the legacy secret alone
    understood = jwt.PyJWKSet(listed)
    return {
        key.key_id: key for key in understood if isinstance(key.key_id, str) and _is_usable(key)
    }


def _is_usable(key: jwt.PyJWK) -> bool:
    if key.public_key_use not in {None, "sig"}:
        return False
    if key.algorithm_name == "ES256":
        return isinstance(key.key, EllipticCurvePublicKey) and isinstance(key.key.curve, SECP256R1)
    return key.algorithm_name == "RS256" and isinstance(key.key, RSAPublicKey)
