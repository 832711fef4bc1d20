"""Signed URLs: whoever has one may download, or upload, one object for a while."""

from __future__ import annotations

import time
from typing import Any

import jwt

from supabase_local.storage import errors

UPLOAD_SECONDS = 7200


class UrlSigner:
    """Makes and checks the tokens of signed URLs (HS256)."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def download_url(self, bucket: str, key: str, seconds: int) -> str:
        """The signed path of a download, relative to `/storage/v1`.

        Not percent-encoded: that is for the client, who joins it to the base URL.
        """
        token = self._sign({"url": f"{bucket}/{key}", "scope": "download"}, seconds)
        return f"/object/sign/{bucket}/{key}?token={token}"

    def upload_url(self, bucket: str, key: str, owner: str | None, *, upsert: bool) -> str:
        """The signed path of an upload, relative to `/storage/v1`."""
        claims = {"url": f"{bucket}/{key}", "scope": "upload", "owner": owner, "upsert": upsert}
        token = self._sign(claims, UPLOAD_SECONDS)
        return f"/object/upload/sign/{bucket}/{key}?token={token}"

    def claims(self, token: str, bucket: str, key: str, scope: str) -> dict[str, Any]:
        """What a token allows.

        Raises:
            StorageError: InvalidJWT or InvalidSignature; forged, expired, or for something else.
        """
        try:
            claims = jwt.decode(token, self._secret, algorithms=["HS256"])
        except jwt.ExpiredSignatureError:
            raise errors.invalid_url_token('"exp" claim timestamp check failed') from None
        except jwt.InvalidTokenError as invalid:
            raise errors.invalid_url_token(str(invalid)) from None
        if claims.get("scope") != scope:
            raise errors.invalid_signature(f"Token is not scoped for {scope}")
        if claims.get("url") != f"{bucket}/{key}":
            raise errors.invalid_signature()
        return claims

    def _sign(self, claims: dict[str, Any], seconds: int) -> str:
        now = int(time.time())
        return jwt.encode({**claims, "iat": now, "exp": now + seconds}, self._secret, "HS256")
