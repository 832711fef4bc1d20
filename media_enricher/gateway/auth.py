"""Who is calling: from the `Authorization` header to a caller, or a 401 that says why not.

What a user may do stands in `app_metadata`, which only the project's backend writes. Users write
their own `user_metadata`: it is not looked at. No part of a token is ever shown or logged.
"""

from __future__ import annotations

import hmac
import re
from enum import StrEnum
from typing import Annotated, Any, Literal, NoReturn, TypeAlias

import jwt
import msgspec

from media_enricher.gateway.errors import ApiError
from media_enricher.gateway.signing_keys import SigningKeys
from media_enricher.settings import GatewaySettings, SupabaseSettings

LONGEST_TOKEN = 8192
"""Bytes. What is longer is refused before any work is done on it."""
LEEWAY_SECONDS = 10
"""How far apart clocks may be."""
_AUDIENCE = "authenticated"
_LEGACY_ALGORITHM = "HS256"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_Key: TypeAlias = "jwt.PyJWK | str"


class Role(StrEnum):
    """What a caller is, as the audit names it."""

    SERVICE = "service_role"
    USER = "authenticated"
    WEBHOOK = "webhook"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever makes a request, verified.

    Attributes:
        role: what they are.
        user_id: None unless a user. A UUID in lower case, unless another identity provider than
            Supabase Auth says who they are.
        email: of a user, if there is one.
        tenant_id: of a user who belongs to a tenant: a UUID in lower case.
        is_admin: whether a user's `app_metadata` makes them an admin.
        is_anonymous: whether a user came without an account (Supabase's anonymous sign-in).
    """

    role: Role
    user_id: str | None = None
    email: str | None = None
    tenant_id: str | None = None
    is_admin: bool = False
    is_anonymous: bool = False

    @property
    def is_service(self) -> bool:
        """Whether it is one of our own servers, with a service key."""
        return self.role is Role.SERVICE


_NO_USERS = frozenset({*Role, "anon"})
"""Who asked for a run is kept in one column, by the user's id or else the role."""
SERVICE = Caller(role=Role.SERVICE)
WEBHOOK = Caller(role=Role.WEBHOOK)


class Authenticator:
    """Tells who is calling, by the project's keys."""

    def __init__(
        self, project: SupabaseSettings, settings: GatewaySettings, signing_keys: SigningKeys
    ) -> None:
        keys = (project.service_key, settings.service_role_key)
        secret = settings.jwt_secret
        self._service_keys = [key.get_secret_value() for key in keys if key]
        self._legacy_secret = secret.get_secret_value() if secret else None
        self._issuer = settings.jwt_issuer or f"{project.url}/auth/v1"
        self._signing_keys = signing_keys

    async def authenticate(self, authorization: str | None) -> Caller:
        """The caller that an `Authorization` header stands for.

        Raises:
            ApiError: 401 `no_token`, `bad_token`, `expired_token` or `anonymous_key`; or 503, when
                the project's signing keys can't be had.
        """
        token = bearer_token(authorization)
        if self._is_service_key(token):
            return SERVICE
        if token.startswith("sb_publishable_"):
            _refuse_anonymous_key()
        header, claims = _unverified(token)
        if claims.get("role") == "anon":
            _refuse_anonymous_key()
        key = await self._key_for(header)
        if isinstance(key, str) and claims.get("role") == "service_role":
            _verify(token, key)
            return SERVICE
        return _user(_verify(token, key, audience=_AUDIENCE, issuer=self._issuer))

    def _is_service_key(self, token: str) -> bool:
        # All are compared, so that the time does not tell which one matches.
        matches = [is_same_secret(token, key) for key in self._service_keys]
        return any(matches)

    async def _key_for(self, header: dict[str, Any]) -> _Key:
        """The key that a token must be signed with, by the kind of key that it names."""
        if header.get("alg") == _LEGACY_ALGORITHM:
            if self._legacy_secret is None:
                raise _bad_token(
                    "It is signed with a shared secret, which this gateway does not accept"
                )
            return self._legacy_secret
        kid = header.get("kid")
        key = await self._signing_keys.find(kid) if isinstance(kid, str) else None
        if key is None:
            raise _bad_token("It is signed with a key that the project does not list")
        return key


def is_same_secret(given: str, expected: str) -> bool:
    """Whether two secrets are equal, compared in constant time."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def bearer_token(authorization: str | None) -> str:
    """The token that an `Authorization` header holds, which proves nothing yet.

    Raises:
        ApiError: 401.
    """
    if not authorization:
        raise _unauthorised("no_token", "There is no Authorization header")
    if len(authorization) > LONGEST_TOKEN:
        raise _bad_token(f"The Authorization header has more than {LONGEST_TOKEN:,} characters")
    scheme, _, token = authorization.strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise _unauthorised("no_token", "The Authorization header holds no bearer token")
    if not token.isascii():
        raise _bad_token("It is neither a JWT nor a Supabase key")
    return token


def _unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims as the token states them: they say how to verify it, and no more."""
    try:
        parts = jwt.decode_complete(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        raise _bad_token("It is neither a JWT nor a Supabase key") from None
    return parts["header"], parts["payload"]


def _verify(
    token: str, key: _Key, *, audience: str | None = None, issuer: str | None = None
) -> dict[str, Any]:
    """The claims of a token that was signed with this key, by its own algorithm and no other."""
    algorithm = key.algorithm_name if isinstance(key, jwt.PyJWK) else _LEGACY_ALGORITHM
    try:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp"], "verify_aud": audience is not None},
            audience=audience,
            issuer=issuer,
        )
    except jwt.ExpiredSignatureError:
        raise _unauthorised("expired_token", "The token has expired") from None
    except jwt.PyJWTError as error:
        raise _bad_token(
            _REASONS.get(type(error), "It is not a token that Supabase Auth issues")
        ) from None


_REASONS = {
    jwt.InvalidSignatureError: "Its signature is wrong",
    jwt.InvalidAlgorithmError: "Its algorithm differs from that of the key it names",
    jwt.InvalidIssuerError: "It was not issued by this Supabase project",
    jwt.InvalidAudienceError: f"Its audience is not '{_AUDIENCE}'",
    jwt.ImmatureSignatureError: "It is not valid yet",
    jwt.MissingRequiredClaimError: "It lacks one of the claims exp, iss and aud",
}


class _UserClaims(msgspec.Struct):
    sub: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    role: Literal["authenticated"]
    email: str | None = None
    is_anonymous: bool = False
    app_metadata: dict[str, Any] | None = None


def _user(claims: dict[str, Any]) -> Caller:
    try:
        known = msgspec.convert(claims, _UserClaims)
    except msgspec.ValidationError:
        raise _bad_token("Its claims are not those of a signed-in user") from None
    if known.sub in _NO_USERS or not known.sub.isprintable():
        raise _bad_token("Its `sub` is not a user id")
    granted = known.app_metadata or {}
    tenant_id, is_tenant_clear = _tenant_of(granted)
    says_admin = "admin" in (granted.get("user_role"), granted.get("role"))
    return Caller(
        role=Role.USER,
        user_id=known.sub.lower() if _UUID.fullmatch(known.sub) else known.sub,
        email=known.email or None,
        tenant_id=tenant_id,
        is_admin=says_admin and is_tenant_clear and not known.is_anonymous,
        is_anonymous=known.is_anonymous,
    )


def _tenant_of(granted: dict[str, Any]) -> tuple[str | None, bool]:
    """The tenant, and whether it is clear.

    Who is given a tenant that is no UUID has none, but must not pass for an admin of everything.
    """
    claimed = granted.get("tenant_id")
    if claimed is None or claimed == "":
        return None, True
    if isinstance(claimed, str) and _UUID.fullmatch(claimed):
        return claimed.lower(), True
    return None, False


def _refuse_anonymous_key() -> NoReturn:
    raise _unauthorised(
        "anonymous_key",
        "This is the project's public key, which identifies no user",
    )


def _bad_token(reason: str) -> ApiError:
    return _unauthorised("bad_token", f"The token is refused. {reason}")


def _unauthorised(code: str, reason: str) -> ApiError:
    return ApiError(
        401,
        code,
        f"{reason}. Sign in and send the session's access token as `Authorization: Bearer …`. "
        "Servers send a service key instead.",
        headers={"WWW-Authenticate": "Bearer"},
    )
