"""Enough of Supabase Auth to sign the stack's users in: `/auth/v1`."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
import uuid
from collections.abc import Mapping
from typing import Any, TypeAlias

import asyncpg
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from supabase_local.keys import ACCESS_TOKEN_SECONDS, StackKeys, Users
from supabase_local.tokens import InvalidTokenError, TokenVerifier

_Row: TypeAlias = Mapping[str, Any]
_USER = """
    select id, email, role, encrypted_password, raw_app_meta_data::text, raw_user_meta_data::text,
      email_confirmed_at, last_sign_in_at, created_at, updated_at, is_anonymous
    from auth.users
"""


class AuthError(Exception):
    """A refusal, as Supabase Auth words it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Auth:
    """Users, sessions and tokens, in the schema `auth` of the stack's Postgres."""

    def __init__(self, pool: asyncpg.Pool, keys: StackKeys, base_url: str) -> None:
        self._pool = pool
        self._keys = keys
        self._verifier = TokenVerifier(keys)
        self._issuer = f"{base_url}/auth/v1"

    def app(self) -> Starlette:
        """The ASGI app, mounted with `/auth/v1` taken off the path."""
        return Starlette(
            routes=[
                Route("/token", self._token, methods=["POST"]),
                Route("/user", self._user, methods=["GET"]),
                Route("/logout", self._logout, methods=["POST"]),
                Route("/.well-known/jwks.json", self._jwks, methods=["GET"]),
                Route("/health", self._health, methods=["GET"]),
            ],
            exception_handlers={AuthError: _refuse},
        )

    async def _token(self, request: Request) -> Response:
        try:
            body = orjson.loads(await request.body())
        except orjson.JSONDecodeError:
            raise AuthError(400, "bad_json", "Could not parse request body as JSON") from None
        grant = request.query_params.get("grant_type")
        if grant == "password":
            return await self._sign_in(str(body.get("email")), str(body.get("password")))
        if grant == "refresh_token":
            return await self._refresh(str(body.get("refresh_token")))
        raise AuthError(400, "unsupported_grant_type", "unsupported_grant_type")

    async def _sign_in(self, email: str, password: str) -> Response:
        user = await self._pool.fetchrow(f"{_USER} where email = $1", email.lower())
        stored = user["encrypted_password"] if user else hash_password("nobody's")
        is_right = await asyncio.to_thread(is_password, password, stored)
        if user is None or not is_right:
            raise AuthError(400, "invalid_credentials", "Invalid login credentials")
        session_id = await self._pool.fetchval(
            "insert into auth.sessions (user_id) values ($1) returning id", user["id"]
        )
        await self._pool.execute(
            "update auth.users set last_sign_in_at = now() where id = $1", user["id"]
        )
        return await self._session(user, session_id)

    async def _refresh(self, token: str) -> Response:
        spent = await self._pool.fetchrow(
            "update auth.refresh_tokens set revoked = true, updated_at = now()"
            " where token = $1 and not revoked returning user_id, session_id",
            token,
        )
        if spent is None:
            raise AuthError(
                400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found"
            )
        user = await self._pool.fetchrow(f"{_USER} where id = $1", spent["user_id"])
        return await self._session(user, spent["session_id"])

    async def _session(self, user: _Row, session_id: uuid.UUID) -> Response:
        refresh_token = secrets.token_urlsafe(9)
        await self._pool.execute(
            "insert into auth.refresh_tokens (token, user_id, session_id) values ($1, $2, $3)",
            refresh_token,
            user["id"],
            session_id,
        )
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "sub": str(user["id"]),
            "aud": "authenticated",
            "role": user["role"],
            "email": user["email"],
            "phone": "",
            "app_metadata": orjson.loads(user["raw_app_meta_data"]),
            "user_metadata": orjson.loads(user["raw_user_meta_data"]),
            "aal": "aal1",
            "amr": [{"method": "password", "timestamp": now}],
            "session_id": str(session_id),
            "is_anonymous": user["is_anonymous"],
        }
        return _json(
            {
                "access_token": self._keys.access_token(claims),
                "token_type": "bearer",
                "expires_in": ACCESS_TOKEN_SECONDS,
                "expires_at": now + ACCESS_TOKEN_SECONDS,
                "refresh_token": refresh_token,
                "user": _public_user(user),
            }
        )

    async def _user(self, request: Request) -> Response:
        claims = self._claims(request)
        user = await self._pool.fetchrow(f"{_USER} where id = $1::uuid", claims["sub"])
        if user is None:
            raise AuthError(403, "user_not_found", "User from sub claim in JWT does not exist")
        return _json(_public_user(user))

    async def _logout(self, request: Request) -> Response:
        """End the session, or with `?scope=global` every session of the user."""
        claims = self._claims(request)
        if request.query_params.get("scope", "global") == "local":
            await self._pool.execute(
                "delete from auth.sessions where id = $1::uuid", claims["session_id"]
            )
        else:
            await self._pool.execute(
                "delete from auth.sessions where user_id = $1::uuid", claims["sub"]
            )
        return Response(status_code=204)

    async def _jwks(self, _: Request) -> Response:
        return _json({"keys": [self._keys.public_jwk()]})

    async def _health(self, _: Request) -> Response:
        return _json({"name": "GoTrue", "description": "the local stack's likeness of it"})

    def _claims(self, request: Request) -> dict[str, Any]:
        token = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if not token:
            raise AuthError(401, "no_authorization", "This endpoint requires a Bearer token")
        try:
            claims = self._verifier.verify(token).claims
        except InvalidTokenError as reason:
            message = f"invalid JWT: unable to parse or verify signature, {reason}"
            raise AuthError(403, "bad_jwt", message) from None
        if "sub" not in claims:
            raise AuthError(403, "bad_jwt", "invalid claim: missing sub claim")
        return claims


async def seed_users(connection: Any, users: Users) -> None:
    """Make the stack's users, unless they are there."""
    rows = await connection.fetch("select id::text from auth.users")
    known = {row["id"] for row in rows}
    for user in users:
        if user.id in known:
            continue  # a hash takes a while
        await connection.execute(
            "insert into auth.users"
            " (id, email, encrypted_password, raw_app_meta_data, email_confirmed_at)"
            " values ($1::uuid, $2, $3, $4, now())",
            user.id,
            user.email,
            hash_password(user.password),
            orjson.dumps(user.app_metadata).decode(),
        )


def hash_password(password: str) -> str:
    """A salted scrypt hash, as `scrypt$SALT$HASH` in hexadecimal."""
    salt = secrets.token_bytes(16)
    return f"scrypt${salt.hex()}${_scrypt(password, salt).hex()}"


def is_password(password: str, hashed: str) -> bool:
    """Whether a password is the one that was hashed."""
    _, salt, digest = hashed.split("$")
    return hmac.compare_digest(_scrypt(password, bytes.fromhex(salt)), bytes.fromhex(digest))


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)


def _public_user(user: _Row) -> dict[str, Any]:
    identity = {"sub": str(user["id"]), "email": user["email"], "email_verified": True}
    return {
        "id": str(user["id"]),
        "aud": "authenticated",
        "role": user["role"],
        "email": user["email"],
        "phone": "",
        "email_confirmed_at": user["email_confirmed_at"],
        "confirmed_at": user["email_confirmed_at"],
        "last_sign_in_at": user["last_sign_in_at"],
        "app_metadata": orjson.loads(user["raw_app_meta_data"]),
        "user_metadata": orjson.loads(user["raw_user_meta_data"]),
        "identities": [
            {
                "identity_id": str(user["id"]),
                "id": str(user["id"]),
                "user_id": str(user["id"]),
                "identity_data": identity,
                "provider": "email",
                "last_sign_in_at": user["last_sign_in_at"],
                "created_at": user["created_at"],
                "updated_at": user["updated_at"],
            }
        ],
        "created_at": user["created_at"],
        "updated_at": user["updated_at"],
        "is_anonymous": user["is_anonymous"],
    }


async def _refuse(_: Request, refusal: Exception) -> Response:
    if not isinstance(refusal, AuthError):
        raise refusal
    body = {"code": refusal.status, "error_code": refusal.code, "msg": refusal.message}
    return _json(body, refusal.status)


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")
