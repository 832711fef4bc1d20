"""Who is calling: the role and the claims of a bearer token."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import jwt
import msgspec

from supabase_local.keys import StackKeys

_KNOWN_TOKENS = 4096
_ROLES = frozenset({"anon", "authenticated", "service_role"})


class InvalidTokenError(Exception):
    """The token is not valid. The message is the one of Supabase."""


class Caller(msgspec.Struct, frozen=True):
    """The holder of a verified token."""

    role: str
    claims: dict[str, Any]
    claims_json: str
    """The claims as Postgres gets them in `request.jwt.claims`."""

    @property
    def bypasses_rls(self) -> bool:
        """Whether row level security does not apply to this caller."""
        return self.role == "service_role"

    @property
    def owner_id(self) -> str | None:
        """What goes into `owner_id` of an object that the caller makes; None for a key."""
        subject = self.claims.get("sub")
        return str(subject) if subject else None

    @property
    def owner(self) -> UUID | None:
        """The same for the deprecated column `owner`, which takes only a UUID."""
        try:
            return UUID(self.owner_id) if self.owner_id else None
        except ValueError:
            return None


class TokenVerifier:
    """Verifies tokens against the stack's own keys, each signature once."""

    def __init__(self, keys: StackKeys) -> None:
        self._legacy_secret = keys.jwt_secret
        self._public_key = jwt.PyJWK(keys.public_jwk()).key
        self._kid = keys.kid
        self._known: dict[str, tuple[Caller, float]] = {}

    def verify(self, token: str) -> Caller:
        """The caller that a JWT stands for.

        Raises:
            InvalidTokenError: not a JWT, signed by someone else, or expired.
        """
        known = self._known.get(token)
        if known is not None and known[1] > time.time():
            return known[0]
        try:
            claims = self._decode(token)
        except jwt.ExpiredSignatureError:
            raise InvalidTokenError('"exp" claim timestamp check failed') from None
        except jwt.DecodeError as error:
            is_signature = isinstance(error, jwt.InvalidSignatureError)
            raise InvalidTokenError(
                "signature verification failed" if is_signature else "Invalid Compact JWS"
            ) from None
        except jwt.InvalidTokenError as error:
            raise InvalidTokenError(str(error)) from None
        role = claims.get("role", "anon")
        if role not in _ROLES:
            raise InvalidTokenError(f'role "{role}" does not exist')
        caller = Caller(role, claims, msgspec.json.encode(claims).decode())
        if len(self._known) >= _KNOWN_TOKENS:
            self._known.clear()
        self._known[token] = (caller, float(claims["exp"]))
        return caller

    def _decode(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        is_legacy = header.get("alg") == "HS256"
        if not is_legacy and header.get("kid") != self._kid:
            raise jwt.InvalidTokenError("no applicable key found in the JSON Web Key Set")
        return jwt.decode(
            token,
            self._legacy_secret if is_legacy else self._public_key,
            algorithms=["HS256"] if is_legacy else ["ES256"],
            options={"require": ["exp"], "verify_aud": False},
        )
