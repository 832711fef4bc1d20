"""A key is told by what is written on it, and is never shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import jwt
import pytest

from media_enricher.doctor.keys import read_key


def token(**claims: object) -> str:
    return jwt.encode(claims, "a secret of at least thirty-two bytes", algorithm="HS256")


@pytest.mark.parametrize(
    ("key", "is_service", "what"),
    [
        ("sb_secret_abc", True, "a secret key"),
        ("sb_publishable_abc", False, "a publishable key"),
        (token(role="service_role"), True, "the legacy service_role key"),
        (token(role="anon"), False, "the legacy anon key"),
        (token(role="authenticated", sub="x"), False, "the access token of a signed-in user"),
        (token(role="postgres"), None, "a JWT with an unknown role"),
        ("", None, "not a Supabase key (neither sb_secret_… nor a JWT)"),
        ("a.b.c", None, "not a Supabase key (neither sb_secret_… nor a JWT)"),
        ("é.é.é", None, "not a Supabase key (neither sb_secret_… nor a JWT)"),
        (
            "eyJhbGciOiJIUzI1NiJ9.W10.x",
            None,
            "not a Supabase key (neither sb_secret_… nor a JWT)",
        ),
    ],
)
def test_kinds_of_keys_are_told_apart(key: str, is_service: bool | None, what: str) -> None:
    facts = read_key(key)

    assert (facts.is_service, facts.what) == (is_service, what)
    assert facts.expired_at is None


def test_a_key_that_ran_out_says_when() -> None:
    yesterday = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)

    assert read_key(token(role="service_role", exp=yesterday)).expired_at == yesterday
    assert (
        read_key(token(role="service_role", exp=yesterday + timedelta(days=2))).expired_at is None
    )
