"""Who may trigger, row by row, over HTTP against the local stack's own keys."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm

from supabase_local.folder import StackFolder
from supabase_local.keys import StackKeys
from tests.gateway.conftest import Gateway, Tokens

# Fixed, for they are part of tests' names, which must not differ between the processes of `-n`.
TENANT = "ca61e43f-8dc8-4484-8e24-64c9a19c57b4"
ANOTHER = "198a6a08-5381-4269-b8fb-fde84aeea6e4"
RUN = "f8b1d73f-e9d6-452d-ae19-0dead42cda84"


class Holder:
    """Makes the tokens of the table."""

    def __init__(self, gateway: Gateway, tokens: Tokens) -> None:
        self.stack = gateway.stack
        self.tokens = tokens
        self.keys: StackKeys = StackFolder(gateway.stack.folder).keys()
        self.now = int(time.time())

    def claims(self, **changes: Any) -> dict[str, Any]:
        return {
            "iss": f"{self.stack.url}/auth/v1",
            "sub": str(uuid4()),
            "aud": "authenticated",
            "role": "authenticated",
            "exp": self.now + 600,
            "app_metadata": {"user_role": "admin"},
        } | changes

    def by_hand(self, algorithm: str, sign: Callable[[bytes], bytes]) -> str:
        """What no library signs for us."""
        header = {"alg": algorithm, "typ": "JWT", "kid": self.keys.kid}
        parts = b".".join(
            base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
            for part in (header, self.claims())
        )
        signature = base64.urlsafe_b64encode(sign(parts)).rstrip(b"=")
        return f"{parts.decode()}.{signature.decode()}"

    def unsigned(self) -> str:
        return self.by_hand("none", lambda _: b"")

    def signed_with_the_public_key(self) -> str:
        public = ECAlgorithm.from_jwk(json.dumps(self.keys.public_jwk()))
        assert isinstance(public, ec.EllipticCurvePublicKey)
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return self.by_hand("HS256", lambda parts: hmac.digest(pem, parts, "sha256"))

    def by_another_key(self, kid: str) -> str:
        key = ec.generate_private_key(ec.SECP256R1())
        return jwt.encode(self.claims(), key, "ES256", headers={"kid": kid})


ROWS: list[tuple[str, Callable[[Holder], str | None], int, str | None]] = [
    ("no token", lambda _: None, 401, "no_token"),
    ("the publishable key", lambda has: has.stack.anon_key, 401, "anonymous_key"),
    ("the legacy anon key", lambda has: has.stack.anon_jwt, 401, "anonymous_key"),
    ("no JWT at all", lambda _: "secret", 401, "bad_token"),
    ("expired", lambda has: has.tokens.of(seconds=-60), 401, "expired_token"),
    ("not yet valid", lambda has: has.tokens.of(nbf=has.now + 600), 401, "bad_token"),
    (
        "of another issuer",
        lambda has: has.tokens.of(iss="https://other.supabase.co/auth/v1"),
        401,
        "bad_token",
    ),
    ("for another audience", lambda has: has.tokens.of(aud="others"), 401, "bad_token"),
    ("alg none", lambda has: has.unsigned(), 401, "bad_token"),
    ("HS256 with the public key", lambda has: has.signed_with_the_public_key(), 401, "bad_token"),
    ("an unknown kid", lambda has: has.by_another_key(str(uuid4())), 401, "bad_token"),
    ("another key under a known kid", lambda has: has.by_another_key(has.keys.kid), 401, None),
    (
        "HS256 with another secret",
        lambda has: jwt.encode(has.claims(), "guessed" * 6, "HS256"),
        401,
        "bad_token",
    ),
    (
        "user_metadata that says admin",
        lambda has: has.tokens.of(user_metadata={"user_role": "admin", "role": "admin"}),
        403,
        "not_admin",
    ),
    ("a plain user", lambda has: has.tokens.of(), 403, "not_admin"),
    ("a user of a tenant", lambda has: has.tokens.sign_in(has.stack.users.ada), 403, "not_admin"),
    (
        "an anonymous user",
        lambda has: has.tokens.of(app_metadata={"role": "admin"}, is_anonymous=True),
        403,
        "not_admin",
    ),
    ("an admin", lambda has: has.tokens.sign_in(has.stack.users.admin), 200, None),
    ("an admin by role", lambda has: has.tokens.of(app_metadata={"role": "admin"}), 200, None),
    (
        "an admin's token of the legacy secret",
        lambda has: jwt.encode(has.claims(), has.keys.jwt_secret, "HS256"),
        200,
        None,
    ),
    ("the secret key", lambda has: has.stack.service_key, 200, None),
    ("the legacy service key", lambda has: has.stack.service_role_jwt, 200, None),
]


@pytest.mark.parametrize(
    ("make", "status", "code"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_a_token_opens_what_it_should(
    gateway: Gateway,
    tokens: Tokens,
    bucket: str,
    make: Callable[[Holder], str | None],
    status: int,
    code: str | None,
) -> None:
    token = make(Holder(gateway, tokens))

    answer = gateway.post("/backfill", token, bucket=bucket, dry_run=True)

    assert answer.status_code == status
    if code is not None:
        assert answer.json()["code"] == code
    if status == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
        assert gateway.audit(bucket) == [], "nothing that a stranger sends is kept"
        return
    row = gateway.audit(bucket)[-1]
    assert (row["is_allowed"], row["http_status"]) == (status == 200, status)


@pytest.mark.parametrize(
    ("prefix", "status"),
    [
        (f"{TENANT}/", 200),
        (f"{TENANT}/albums/", 200),
        (f"{TENANT.upper()}/", 200),
        ("", 403),
        (TENANT, 403),
        (f"{ANOTHER}/", 403),
        (f"/{TENANT}/", 403),
        (f"../{TENANT}/", 403),
    ],
)
def test_a_tenants_admin_stays_in_the_tenants_folder(
    gateway: Gateway, tokens: Tokens, bucket: str, prefix: str, status: int
) -> None:
    token = tokens.tenant_admin(TENANT)

    for route in ("/backfill", "/cron"):
        answer = gateway.post(route, token, bucket=bucket, prefix=prefix, limit=1)
        assert answer.status_code in ({200, 202} if status == 200 else {403})
        if status == 403:
            assert answer.json()["code"] == "outside_tenant"
            assert answer.json()["allowed"] == f"{TENANT}/"

    answer = gateway.post("/enrich", token, json={"bucket": bucket, "path": f"{prefix}one.jpg"})
    assert answer.status_code == (202 if status == 200 else 403)


@pytest.mark.parametrize(
    "route",
    [
        *("/runs", "/buckets", f"/runs/{RUN}", f"/runs/{RUN}/assets"),
        f"/runs/{RUN}/snapshot",
    ],
)
def test_watching_is_for_those_who_may_trigger(
    gateway: Gateway, tokens: Tokens, route: str
) -> None:
    assert gateway.get(route).status_code == 401
    assert gateway.get(route, tokens.of()).status_code == 403
    assert gateway.get(route, tokens.admin).status_code in {200, 404}


def test_me_tells_what_one_may_do(gateway: Gateway, tokens: Tokens) -> None:
    ada = gateway.stack.users.ada

    assert gateway.get("/me", tokens.sign_in(ada)).json() == {
        "role": "authenticated",
        "user_id": ada.id,
        "tenant_id": ada.tenant_id,
        "may_trigger": False,
        "may_see_all": False,
    }
    assert gateway.get("/me", gateway.stack.service_key).json()["may_see_all"] is True
    assert gateway.get("/me").status_code == 401


def test_an_admin_of_another_identity_provider_starts_runs_under_the_id_they_have_there(
    gateway: Gateway, tokens: Tokens, bucket: str
) -> None:
    """Not a UUID: the audit's column for one stays empty, and the one for limits has it."""
    clerk_user = f"user_{uuid4().hex}"
    token = tokens.of(app_metadata={"user_role": "admin"}, sub=clerk_user)

    started = gateway.post("/backfill", token, bucket=bucket)

    assert started.status_code == 202
    assert gateway.run(started.json()["run_id"])["requested_by"] == clerk_user
    (row,) = gateway.audit(bucket)
    assert (row["requested_by"], row["user_id"], row["is_allowed"]) == (clerk_user, None, True)
    assert gateway.get("/me", token).json()["user_id"] == clerk_user
