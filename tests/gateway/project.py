"""A stand-in for the Auth of a Supabase project: its signing keys, and the JWKS that lists them.

Unlike the local stack's it signs what a test likes, lists what a test likes, counts who asks, and
can be slow, talk nonsense or be away.
"""

from __future__ import annotations

import json
import threading
import time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from pydantic import SecretStr

from media_enricher.settings import GatewaySettings, SupabaseSettings

LEGACY_SECRET = "the-legacy-secret-of-a-project-0123456789"
SECRET_KEY = "sb_secret_of-this-project"
USER_ID = "3f0c1d52-7a0e-4a51-9d0e-0a4c8f6f1f11"


class SigningKey:
    """A pair of keys, named by a `kid`."""

    def __init__(self, algorithm: str = "ES256") -> None:
        self.algorithm = algorithm
        self.kid = str(uuid4())
        self.private: Any
        if algorithm == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
        else:
            self.private = _rsa_private_key()

    def jwk(self) -> dict[str, Any]:
        public = self.private.public_key()
        made = (ECAlgorithm if self.algorithm == "ES256" else RSAAlgorithm).to_jwk(
            public, as_dict=True
        )
        return {**made, "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    def public_pem(self) -> bytes:
        pem: bytes = self.private.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        return pem


@cache
def _rsa_private_key() -> rsa.RSAPrivateKey:
    """One for all: it takes a while to make, and no test has two projects that sign with RSA."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Project:
    """The project's Auth, while the block runs."""

    def __init__(self) -> None:
        self.ec = SigningKey()
        self.rsa = SigningKey("RS256")
        self.service_role_jwt = legacy_key("service_role", LEGACY_SECRET)
        self.listed = [self.ec, self.rsa]
        self.asked = 0
        self.status = 200
        self.body: bytes | None = None
        """Instead of the JWKS."""
        self.delay_seconds = 0.0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.issuer = f"{self.url}/auth/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def jwks(self) -> bytes:
        if self.body is not None:
            return self.body
        return json.dumps({"keys": [key.jwk() for key in self.listed]}).encode()

    def settings(self) -> SupabaseSettings:
        return SupabaseSettings(url=self.url, service_key=SecretStr(SECRET_KEY))

    def gateway_settings(self, *, legacy_secret: str | None = None) -> GatewaySettings:
        return GatewaySettings(
            service_role_key=SecretStr(self.service_role_jwt),
            jwt_secret=SecretStr(legacy_secret) if legacy_secret else None,
        )

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Those of a signed-in user; a change to None leaves one out."""
        claims = {
            "iss": self.issuer,
            "sub": USER_ID,
            "aud": "authenticated",
            "role": "authenticated",
            "email": "someone@example.com",
            "exp": int(time.time()) + 3600,
            "iat": int(time.time()),
            "is_anonymous": False,
            "app_metadata": {"provider": "email"},
            "user_metadata": {},
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, key: SigningKey | None = None, **changes: Any) -> str:
        """A user's token, as Supabase Auth signs it."""
        key = key or self.ec
        return jwt.encode(
            self.claims(**changes), key.private, key.algorithm, headers={"kid": key.kid}
        )


def legacy_key(role: str, secret: str, **changes: Any) -> str:
    """One of the two legacy API keys: a JWT without audience or user."""
    claims = {"iss": "supabase", "ref": "local", "role": role, "exp": int(time.time()) + 10**6}
    return jwt.encode({**claims, **changes}, secret, "HS256")


def _handler(project: Project) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            project.asked += 1
            time.sleep(project.delay_seconds)
            is_known = self.path == "/auth/v1/.well-known/jwks.json"
            content = project.jwks() if is_known else b"{}"
            self.send_response(project.status if is_known else 404)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Not on the test's output."""

    return Handler
