"""What an API key says about itself. No server is asked, and the key is never shown."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime

import msgspec


class KeyFacts(msgspec.Struct, frozen=True):
    """What a key says about itself.

    Attributes:
        is_service: whether it is a key of the service role; None if it does not say.
        what: the kind of key, in words: `a publishable key`, `the legacy anon key`.
        expired_at: when it expired; None if it has not.
    """

    is_service: bool | None
    what: str
    expired_at: datetime | None = None


class _Claims(msgspec.Struct):
    role: str | None = None
    exp: float | None = None


_PREFIXES = {
    "sb_secret_": KeyFacts(True, "a secret key"),
    "sb_publishable_": KeyFacts(False, "a publishable key"),
}
_ROLES = {
    "service_role": KeyFacts(True, "the legacy service_role key"),
    "anon": KeyFacts(False, "the legacy anon key"),
    "authenticated": KeyFacts(False, "the access token of a signed-in user"),
}


def read_key(key: str) -> KeyFacts:
    """Identify the kind of a Supabase key. A JWT is read, not verified: the server does that.

    >>> read_key("sb_publishable_abc").what
    'a publishable key'
    """
    for prefix, facts in _PREFIXES.items():
        if key.startswith(prefix):
            return facts
    claims = _claims(key)
    if claims is None:
        return KeyFacts(None, "not a Supabase key (neither sb_secret_… nor a JWT)")
    facts = _ROLES.get(claims.role or "") or KeyFacts(None, "a JWT with an unknown role")
    if claims.exp is None or claims.exp > datetime.now(UTC).timestamp():
        return facts
    return msgspec.structs.replace(facts, expired_at=datetime.fromtimestamp(claims.exp, UTC))


def _claims(token: str) -> _Claims | None:
    segments = token.split(".")
    if len(segments) != 3:
        return None
    padded = segments[1] + "=" * (-len(segments[1]) % 4)
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Claims)
    except (binascii.Error, ValueError):  # msgspec's errors are ValueErrors
        return None
