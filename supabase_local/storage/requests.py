"""What handlers ask of a request: its caller, its path, its JSON."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request

from supabase_local.storage import errors
from supabase_local.tokens import Caller, InvalidTokenError, TokenVerifier

_NO_AUTHORIZATION = "headers must have required property 'authorization'"


def caller_of(authorization: str | None, verifier: TokenVerifier) -> Caller:
    """The caller by the Authorization header.

    Raises:
        StorageError: there is none, or it proves nothing.
    """
    if not authorization:
        raise errors.invalid_request(_NO_AUTHORIZATION)
    try:
        return verifier.verify(authorization.removeprefix("Bearer ").strip())
    except InvalidTokenError as reason:
        raise errors.invalid_jwt(str(reason)) from None


async def json_body(request: Request, type_: type[Any]) -> Any:
    """The request's JSON as a record.

    Raises:
        StorageError: InvalidRequest; no JSON, or not of this shape.
    """
    try:
        return msgspec.json.decode(await request.body() or b"{}", type=type_, strict=False)
    except msgspec.DecodeError as invalid:
        raise errors.invalid_request(f"body {invalid}") from None
