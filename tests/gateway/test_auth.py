"""Who is let in, row by row, with real keys; and that nothing in a header breaks the gateway."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import httpx
import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from media_enricher.gateway.auth import LONGEST_TOKEN, SERVICE, Authenticator, Caller, Role
from media_enricher.gateway.errors import ApiError
from media_enricher.gateway.signing_keys import SigningKeys
from media_enricher.settings import GatewaySettings, SupabaseSettings
from supabase_local import LocalStack
from tests.gateway.project import (
    LEGACY_SECRET,
    SECRET_KEY,
    USER_ID,
    Project,
    SigningKey,
    legacy_key,
)

MakeToken: TypeAlias = Callable[[Project], str]
TENANT = "8D0F9E1C-5B7A-4C3D-9E2F-1A2B3C4D5E6F"
ADMIN = {"user_role": "admin"}


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    with Project() as running:
        yield running


class Door:
    """An authenticator and the loop that it lives in, kept for many calls."""

    def __init__(self, project: SupabaseSettings, gateway: GatewaySettings) -> None:
        self._runner = asyncio.Runner()
        self._keys = SigningKeys(project.url)
        self._authenticator = Authenticator(project, gateway, self._keys)

    def enter(self, authorization: str | None) -> Caller:
        return self._runner.run(self._authenticator.authenticate(authorization))

    def refuse(self, authorization: str | None) -> ApiError:
        with pytest.raises(ApiError) as refused:
            self.enter(authorization)
        return refused.value

    def enter_or_refuse(self, authorization: str) -> Caller | None:
        try:
            return self.enter(authorization)
        except ApiError:
            return None

    def close(self) -> None:
        self._runner.run(self._keys.__aexit__(None, None, None))
        self._runner.close()


@pytest.fixture(scope="module")
def door(project: Project) -> Iterator[Door]:
    """Of a project with asymmetric keys alone."""
    opened = Door(project.settings(), project.gateway_settings())
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def legacy_door(project: Project) -> Iterator[Door]:
    """Of a project that takes tokens of the legacy secret as well."""
    opened = Door(project.settings(), project.gateway_settings(legacy_secret=LEGACY_SECRET))
    yield opened
    opened.close()


def unsigned(project: Project, **header: Any) -> str:
    return f"{segment({'typ': 'JWT', **header})}.{segment(project.claims(app_metadata=ADMIN))}."


def segment(value: Any) -> str:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def signed_with_the_public_key(project: Project, key: SigningKey) -> str:
    """The classic forgery: what is public serves as the shared secret. PyJWT would not make it."""
    header = {"alg": "HS256", "typ": "JWT", "kid": key.kid}
    content = f"{segment(header)}.{segment(project.claims(app_metadata=ADMIN))}"
    digest = hmac.new(key.public_pem(), content.encode(), hashlib.sha256).digest()
    return f"{content}.{segment(digest)}"


def tampered(project: Project) -> str:
    header, _, signature = project.token().split(".")
    return f"{header}.{segment(project.claims(app_metadata=ADMIN))}.{signature}"


def named_by_another_kid(project: Project) -> str:
    return jwt.encode(
        project.claims(), project.ec.private, "ES256", headers={"kid": project.rsa.kid}
    )


REFUSED: dict[str, tuple[MakeToken, str]] = {
    "a publishable key": (lambda _: "sb_publishable_abc", "anonymous_key"),
    "the legacy anon key": (lambda _: legacy_key("anon", LEGACY_SECRET), "anonymous_key"),
    "an anon key of another project": (lambda _: legacy_key("anon", "x" * 40), "anonymous_key"),
    "expired": (lambda p: p.token(exp=int(time.time()) - 60), "expired_token"),
    "never expires": (lambda p: p.token(exp=None), "bad_token"),
    "not valid yet": (lambda p: p.token(nbf=int(time.time()) + 60), "bad_token"),
    "wrong issuer": (lambda p: p.token(iss="https://evil.supabase.co/auth/v1"), "bad_token"),
    "issuer with a slash": (lambda p: p.token(iss=f"{p.issuer}/"), "bad_token"),
    "no issuer": (lambda p: p.token(iss=None), "bad_token"),
    "wrong audience": (lambda p: p.token(aud="anon"), "bad_token"),
    "no audience": (lambda p: p.token(aud=None), "bad_token"),
    "alg: none": (lambda p: unsigned(p, alg="none", kid=p.ec.kid), "bad_token"),
    "alg: None": (lambda p: unsigned(p, alg="None", kid=p.ec.kid), "bad_token"),
    "no alg": (lambda p: unsigned(p, kid=p.ec.kid), "bad_token"),
    "HS256 with the EC public key": (
        lambda p: signed_with_the_public_key(p, p.ec),
        "bad_token",
    ),
    "HS256 with the RSA public key": (
        lambda p: signed_with_the_public_key(p, p.rsa),
        "bad_token",
    ),
    "HS256 with another secret": (
        lambda p: jwt.encode(p.claims(app_metadata=ADMIN), "y" * 40, "HS256"),
        "bad_token",
    ),
    "a service_role key of another project": (
        lambda _: legacy_key("service_role", "z" * 40),
        "bad_token",
    ),
    "unknown kid": (lambda p: p.token(SigningKey()), "bad_token"),
    "no kid": (lambda p: jwt.encode(p.claims(), p.ec.private, "ES256"), "bad_token"),
    "the kid of another key": (named_by_another_kid, "bad_token"),
    "RS512 by an RS256 key": (
        lambda p: jwt.encode(p.claims(), p.rsa.private, "RS512", headers={"kid": p.rsa.kid}),
        "bad_token",
    ),
    "claims changed after signing": (tampered, "bad_token"),
    "service_role signed by a user's key": (lambda p: p.token(role="service_role"), "bad_token"),
    "another role": (lambda p: p.token(role="postgres"), "bad_token"),
    "no role": (lambda p: p.token(role=None), "bad_token"),
    "no user": (lambda p: p.token(sub=None), "bad_token"),
    "a user without a name": (lambda p: p.token(sub=""), "bad_token"),
    "a user of endless name": (lambda p: p.token(sub="x" * 256), "bad_token"),
    "a user of unprintable name": (lambda p: p.token(sub="me\0"), "bad_token"),
    "a user by the name of a role": (lambda p: p.token(sub="service_role"), "bad_token"),
    "a user by the name of a webhook": (lambda p: p.token(sub="webhook"), "bad_token"),
    "app_metadata that is a list": (lambda p: p.token(app_metadata=["admin"]), "bad_token"),
    "a secret key that is not ours": (lambda _: "sb_secret_other", "bad_token"),
    "part of our secret key": (lambda _: SECRET_KEY[:-1], "bad_token"),
    "more than our secret key": (lambda _: f"{SECRET_KEY}x", "bad_token"),
    "junk": (lambda _: "junk", "bad_token"),
    "three segments of junk": (lambda _: "a.b.c", "bad_token"),
    "two tokens": (lambda p: f"{p.token()} {p.token()}", "bad_token"),
    "non-ASCII": (lambda p: f"{p.token()}é", "bad_token"),
    "half of a UTF-16 pair": (lambda _: "\ud800", "bad_token"),
    "JSON nested a thousand deep": (lambda _: f"{segment(b'[' * 2000)}.e30.e30", "bad_token"),
    "claims nested a thousand deep": (
        lambda p: f"{segment({'alg': 'ES256', 'kid': p.ec.kid})}.{segment(b'[' * 2000)}.e30",
        "bad_token",
    ),
    "a token of 9 KB": (lambda p: p.token(padding="x" * 9000), "bad_token"),
}


@pytest.mark.parametrize("taken", ["asymmetric keys", "the legacy secret too"])
@pytest.mark.parametrize("row", REFUSED)
def test_a_token_that_proves_nothing_is_refused(
    project: Project, door: Door, legacy_door: Door, row: str, taken: str
) -> None:
    make, code = REFUSED[row]
    token = make(project)

    refusal = (door if taken == "asymmetric keys" else legacy_door).refuse(f"Bearer {token}")

    assert (refusal.status, refusal.code) == (401, code)
    assert refusal.headers == {"WWW-Authenticate": "Bearer"}
    assert "access token" in refusal.error, "it says what to do"
    assert token not in refusal.error


@pytest.mark.parametrize(
    "header", [None, "", " ", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "token-without-a-scheme"]
)
def test_without_a_token_one_is_asked_for(door: Door, header: str | None) -> None:
    refusal = door.refuse(header)

    assert (refusal.status, refusal.code) == (401, "no_token")
    assert refusal.headers == {"WWW-Authenticate": "Bearer"}


@pytest.mark.parametrize("taken", ["asymmetric keys", "the legacy secret too"])
@pytest.mark.parametrize("key", ["new", "old"])
def test_a_service_key_is_the_service_role(
    project: Project, door: Door, legacy_door: Door, key: str, taken: str
) -> None:
    token = SECRET_KEY if key == "new" else project.service_role_jwt

    opened = door if taken == "asymmetric keys" else legacy_door

    assert opened.enter(f"Bearer {token}") == SERVICE


def test_the_old_key_is_told_by_its_signature_where_the_legacy_secret_is_set(
    legacy_door: Door, door: Door
) -> None:
    another = legacy_key("service_role", LEGACY_SECRET, exp=int(time.time()) + 77)

    assert legacy_door.enter(f"Bearer {another}").is_service
    assert door.refuse(f"Bearer {another}").code == "bad_token"

    expired = legacy_key("service_role", LEGACY_SECRET, exp=int(time.time()) - 77)
    assert legacy_door.refuse(f"Bearer {expired}").code == "expired_token"


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_a_signed_in_user_is_known(project: Project, door: Door, algorithm: str) -> None:
    key = project.ec if algorithm == "ES256" else project.rsa

    caller = door.enter(f"Bearer {project.token(key)}")

    assert caller == Caller(role=Role.USER, user_id=USER_ID, email="someone@example.com")


def test_a_user_of_another_identity_provider_is_known_by_the_id_they_have_there(
    project: Project, door: Door
) -> None:
    for sub in ("user_2qY0aExample7kCl3rk", "auth0|5f7c8ec7c33c6c004bbafe82", "4711"):
        assert door.enter(f"Bearer {project.token(sub=sub)}").user_id == sub


def test_a_user_of_the_legacy_secret_is_known_where_it_is_set(
    project: Project, legacy_door: Door, door: Door
) -> None:
    token = jwt.encode(project.claims(app_metadata=ADMIN), LEGACY_SECRET, "HS256")

    assert legacy_door.enter(f"Bearer {token}").is_admin
    assert door.refuse(f"Bearer {token}").code == "bad_token"
    for claim in ("iss", "aud"):
        token = jwt.encode(project.claims(**{claim: "other"}), LEGACY_SECRET, "HS256")
        assert legacy_door.refuse(f"Bearer {token}").code == "bad_token", claim


@pytest.mark.parametrize(
    ("claims", "is_admin"),
    [
        ({}, False),
        ({"app_metadata": {"user_role": "admin"}}, True),
        ({"app_metadata": {"role": "admin"}}, True),
        ({"app_metadata": {"user_role": "viewer", "role": "admin"}}, True),
        ({"app_metadata": {"user_role": "Admin"}}, False),
        ({"app_metadata": {"user_role": ["admin"]}}, False),
        ({"app_metadata": {"user_role": True}}, False),
        ({"user_metadata": {"user_role": "admin", "role": "admin"}}, False),
        ({"user_role": "admin"}, False),
        ({"app_metadata": {"user_role": "admin"}, "is_anonymous": True}, False),
    ],
    ids=str,
)
def test_an_admin_is_one_by_app_metadata_alone(
    project: Project, door: Door, claims: dict[str, Any], is_admin: bool
) -> None:
    assert door.enter(f"Bearer {project.token(**claims)}").is_admin is is_admin


@pytest.mark.parametrize(
    ("tenant", "tenant_id", "is_admin"),
    [
        (None, None, True),
        ("", None, True),
        (TENANT, TENANT.lower(), True),
        # Who is given a tenant that we can't tell must not pass for an admin of everything.
        ("acme", None, False),
        (f"{{{TENANT}}}", None, False),
        (TENANT.replace("-", ""), None, False),
        (f"{TENANT}\n", None, False),
        (7, None, False),
        ([TENANT], None, False),
    ],
)
def test_a_tenant_is_a_uuid(
    project: Project, door: Door, tenant: Any, tenant_id: str | None, is_admin: bool
) -> None:
    token = project.token(
        app_metadata={**ADMIN, "tenant_id": tenant}, user_metadata={"tenant_id": str(USER_ID)}
    )

    caller = door.enter(f"Bearer {token}")

    assert (caller.tenant_id, caller.is_admin) == (tenant_id, is_admin)


def test_clocks_may_differ_a_little(project: Project, door: Door) -> None:
    now = int(time.time())

    assert door.enter(f"Bearer {project.token(exp=now - 4, nbf=now + 5, iat=now + 5)}").user_id


def test_audiences_may_be_several_and_iat_may_be_missing(project: Project, door: Door) -> None:
    token = project.token(aud=["other", "authenticated"], iat=None)

    assert door.enter(f"bearer  {token} ").user_id == USER_ID


def test_the_issuer_is_the_one_that_is_set(project: Project) -> None:
    issuer = "https://auth.example.com/auth/v1"
    gateway = project.gateway_settings().model_copy(update={"jwt_issuer": issuer})
    opened = Door(project.settings(), gateway)

    assert opened.enter(f"Bearer {project.token(iss=issuer)}").user_id == USER_ID
    assert opened.refuse(f"Bearer {project.token()}").code == "bad_token"
    opened.close()


def test_a_long_header_is_refused_before_any_work(project: Project, door: Door) -> None:
    asked = project.asked
    header = "Bearer " + "a" * 10_000_000
    began = time.process_time()

    refusal = door.refuse(header)

    assert refusal.code == "bad_token"
    assert f"{LONGEST_TOKEN:,}" in refusal.error
    assert time.process_time() - began < 0.1
    assert project.asked == asked


def test_no_keys_of_the_project_and_it_is_away_is_503_for_users_and_nothing_for_servers() -> None:
    with Project() as away:
        away.status = 500
        opened = Door(away.settings(), away.gateway_settings())

        assert opened.refuse(f"Bearer {away.token()}").status == 503
        assert opened.enter(f"Bearer {SECRET_KEY}") == SERVICE
        opened.close()


def test_the_users_and_keys_of_a_real_stack(migrated_stack: LocalStack) -> None:
    opened = Door(
        SupabaseSettings(url=migrated_stack.url, service_key=SecretStr(migrated_stack.service_key)),
        GatewaySettings(service_role_key=SecretStr(migrated_stack.service_role_jwt)),
    )

    def signed_in(email: str, password: str) -> Caller:
        answer = httpx.post(
            f"{migrated_stack.url}/auth/v1/token?grant_type=password",
            json={"email": email, "password": password},
            headers={"apikey": migrated_stack.anon_key},
        )
        return opened.enter(f"Bearer {answer.json()['access_token']}")

    admin, ada = migrated_stack.users.admin, migrated_stack.users.ada
    assert signed_in(admin.email, admin.password) == Caller(
        role=Role.USER, user_id=admin.id, email=admin.email, is_admin=True
    )
    assert signed_in(ada.email, ada.password) == Caller(
        role=Role.USER, user_id=ada.id, email=ada.email, tenant_id=ada.tenant_id
    )
    for key in (migrated_stack.service_key, migrated_stack.service_role_jwt):
        assert opened.enter(f"Bearer {key}") == SERVICE
    for key in (migrated_stack.anon_key, migrated_stack.anon_jwt):
        assert opened.refuse(f"Bearer {key}").code == "anonymous_key"
    opened.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
REGISTERED = ("iss", "sub", "aud", "exp", "nbf", "iat", "jti")
SUPABASES = ("role", "email", "is_anonymous", "app_metadata", "user_metadata")
NAMES = st.sampled_from((*REGISTERED, *SUPABASES))


@given(header=st.text() | st.text().map(lambda text: f"Bearer {text}"))
def test_no_text_in_the_header_raises_anything_but_a_refusal(door: Door, header: str) -> None:
    assert door.refuse(header).status == 401


@given(
    header=JSON | st.dictionaries(st.sampled_from(["alg", "kid", "crit", "b64"]), JSON), claims=JSON
)
def test_no_junk_in_place_of_a_jwt_raises_anything_but_a_refusal(
    legacy_door: Door, header: Any, claims: Any
) -> None:
    token = f"{segment(header)}.{segment(claims)}.{segment(b'signature')}"

    assert legacy_door.refuse(f"Bearer {token}").status == 401


@given(changes=st.dictionaries(NAMES, JSON, min_size=1))
def test_no_claims_that_are_well_signed_raise_anything_but_a_refusal(
    project: Project, legacy_door: Door, changes: dict[str, Any]
) -> None:
    content = json.dumps({**project.claims(), **changes}).encode()
    for key, algorithm in ((project.ec.private, "ES256"), (LEGACY_SECRET, "HS256")):
        token = jwt.api_jws.encode(content, key, algorithm, headers={"kid": project.ec.kid})
        caller = legacy_door.enter_or_refuse(f"Bearer {token}")
        assert caller is None or (caller.user_id == USER_ID and not caller.is_admin)


def test_no_part_of_a_token_is_logged(
    project: Project, door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = tampered(project)

    door.refuse(f"Bearer {token}")
    door.enter(f"Bearer {SECRET_KEY}")

    assert SECRET_KEY not in caplog.text
    assert not any(part in caplog.text for part in token.split("."))
