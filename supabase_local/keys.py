"""The stack's secrets and users: made at the first start, kept beside the data, never logged.

Tokens are those of a Supabase project that has moved to asymmetric signing: users get ES256 tokens
that anyone verifies through the JWKS; the legacy anon and service_role keys are HS256 tokens; and
`sb_publishable_…` / `sb_secret_…` stand for those two.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from supabase_local.atomic_file import write_record
from supabase_local.errors import LocalStackError

ACCESS_TOKEN_SECONDS = 3600
_TEN_YEARS = 10 * 365 * 24 * 3600


class User(msgspec.Struct, frozen=True, kw_only=True):
    """One of the users that every stack starts with."""

    id: str
    email: str
    password: str
    tenant_id: str | None = None
    user_role: str | None = None

    @property
    def app_metadata(self) -> dict[str, Any]:
        """What only a service key may write: the role and the tenant."""
        claims = {"user_role": self.user_role, "tenant_id": self.tenant_id}
        set_claims = {name: value for name, value in claims.items() if value is not None}
        return {"provider": "email", "providers": ["email"], **set_claims}

    def __repr__(self) -> str:
        return f"User(email={self.email!r}, id={self.id!r}, tenant_id={self.tenant_id!r})"


class Users(msgspec.Struct, frozen=True):
    """An admin, and two plain users of two tenants."""

    admin: User
    ada: User
    ben: User

    def __iter__(self) -> Iterator[User]:
        return iter((self.admin, self.ada, self.ben))


class StackKeys(msgspec.Struct, frozen=True, kw_only=True):
    """Everything secret about one stack. Its repr shows none of it."""

    database_password: str
    jwt_secret: str
    """Signs the legacy keys (HS256)."""
    url_secret: str
    """Signs Storage's URLs (HS256)."""
    signing_key: str
    """Signs users' tokens (ES256): a private key, PEM."""
    kid: str
    publishable_key: str
    secret_key: str
    anon_jwt: str
    service_role_jwt: str
    users: Users

    def __repr__(self) -> str:
        return "StackKeys(…)"

    def access_token(self, claims: dict[str, Any], *, seconds: int = ACCESS_TOKEN_SECONDS) -> str:
        """An ES256 token of a user's claims, valid from now on for so many seconds."""
        now = int(time.time())
        return jwt.encode(
            {**claims, "iat": now, "exp": now + seconds},
            self.signing_key,
            algorithm="ES256",
            headers={"kid": self.kid},
        )

    def public_jwk(self) -> dict[str, Any]:
        """The public half of the signing key, as `/auth/v1/.well-known/jwks.json` lists it."""
        private = serialization.load_pem_private_key(self.signing_key.encode(), password=None)
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise LocalStackError("The stack's signing key is not an elliptic curve key.")
        jwk = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
        return {**jwk, "kid": self.kid, "alg": "ES256", "use": "sig", "key_ops": ["verify"]}

    def postgrest_jwks(self) -> str:
        """The keys that PostgREST accepts: the ES256 public key and the legacy secret (JSON)."""
        secret = base64.urlsafe_b64encode(self.jwt_secret.encode()).rstrip(b"=").decode()
        legacy = {"kty": "oct", "k": secret, "alg": "HS256", "use": "sig"}
        return json.dumps({"keys": [self.public_jwk(), legacy]})


def load_or_make_keys(file: Path) -> StackKeys:
    """The keys kept in `file`; new ones are written there (mode 0600) the first time.

    Raises:
        LocalStackError: the file is there and cannot be read.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        keys = _make_keys()
        write_record(keys, file)
        return keys
    try:
        return msgspec.json.decode(content, type=StackKeys)
    except msgspec.DecodeError:
        raise LocalStackError(
            f"{file} does not hold the keys of a local stack. Delete the folder "
            f"{file.parent} to start afresh (its data with it)."
        ) from None


def _make_keys() -> StackKeys:
    private = ec.generate_private_key(ec.SECP256R1())
    jwt_secret = secrets.token_hex(32)
    return StackKeys(
        database_password=secrets.token_hex(16),
        jwt_secret=jwt_secret,
        url_secret=secrets.token_hex(32),
        signing_key=private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
        kid=str(uuid.uuid4()),
        publishable_key=f"sb_publishable_{secrets.token_urlsafe(24)}",
        secret_key=f"sb_secret_{secrets.token_urlsafe(24)}",
        anon_jwt=_legacy_key("anon", jwt_secret),
        service_role_jwt=_legacy_key("service_role", jwt_secret),
        users=Users(
            admin=_make_user("admin", user_role="admin"),
            ada=_make_user("ada", tenant_id=str(uuid.uuid4())),
            ben=_make_user("ben", tenant_id=str(uuid.uuid4())),
        ),
    )


def _make_user(name: str, *, tenant_id: str | None = None, user_role: str | None = None) -> User:
    return User(
        id=str(uuid.uuid4()),
        email=f"{name}@example.com",
        password=secrets.token_urlsafe(9),
        tenant_id=tenant_id,
        user_role=user_role,
    )


def _legacy_key(role: str, secret: str) -> str:
    now = int(time.time())
    claims = {"iss": "supabase", "ref": "local", "role": role, "iat": now, "exp": now + _TEN_YEARS}
    return jwt.encode(claims, secret, algorithm="HS256")
