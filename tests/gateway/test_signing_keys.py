"""The project's public keys: found by id, kept, asked for again, and not too often."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from media_enricher.gateway import signing_keys
from media_enricher.gateway.errors import ApiError
from media_enricher.gateway.signing_keys import ASK_AGAIN_SECONDS, KEPT_SECONDS, SigningKeys
from supabase_local import LocalStack
from tests.gateway.project import Project, SigningKey


class Clock:
    """Goes when it is told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def project() -> Iterator[Project]:
    with Project() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def with_keys(project: Project, clock: Clock) -> Callable[[Callable[..., Awaitable[Any]]], Any]:
    """Runs a coroutine function with the project's SigningKeys."""

    def run(use: Callable[[SigningKeys], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            async with SigningKeys(project.url, clock=clock) as keys:
                return await use(keys)

        return asyncio.run(main())

    return run


def test_the_keys_of_a_real_stack_verify_its_tokens(migrated_stack: LocalStack) -> None:
    admin = migrated_stack.users.admin
    session = httpx.post(
        f"{migrated_stack.url}/auth/v1/token?grant_type=password",
        json={"email": admin.email, "password": admin.password},
        headers={"apikey": migrated_stack.anon_key},
    ).json()
    token = session["access_token"]

    async def main() -> jwt.PyJWK | None:
        async with SigningKeys(migrated_stack.url) as keys:
            return await keys.find(jwt.get_unverified_header(token)["kid"])

    key = asyncio.run(main())
    assert key is not None
    claims = jwt.decode(token, key, algorithms=["ES256"], audience="authenticated")
    assert claims["sub"] == admin.id


def test_keys_are_kept_for_ten_minutes(project: Project, clock: Clock, with_keys: Any) -> None:
    async def use(keys: SigningKeys) -> list[int]:
        asked = []
        for later in (0, KEPT_SECONDS - 1, 1):
            clock.now += later
            assert await keys.find(project.ec.kid) is not None
            assert await keys.find(project.rsa.kid) is not None
            asked.append(project.asked)
        return asked

    assert with_keys(use) == [1, 1, 2]


def test_a_new_key_is_found_at_its_first_token_and_a_revoked_one_forgotten(
    project: Project, clock: Clock, with_keys: Any
) -> None:
    old, new = project.ec, SigningKey()

    async def use(keys: SigningKeys) -> None:
        assert await keys.find(old.kid) is not None
        project.listed = [new]
        clock.now += ASK_AGAIN_SECONDS
        assert await keys.find(new.kid) is not None
        assert await keys.find(old.kid) is None

    with_keys(use)


def test_unknown_ids_ask_the_project_once_in_ten_seconds_however_many_they_are(
    project: Project, clock: Clock, with_keys: Any
) -> None:
    async def use(keys: SigningKeys) -> list[int]:
        await keys.find(project.ec.kid)
        asked = []
        for later in (0, ASK_AGAIN_SECONDS - 0.5, 0.5):
            clock.now += later
            found = await asyncio.gather(*(keys.find(f"made-up-{n}") for n in range(500)))
            assert found == [None] * 500
            asked.append(project.asked)
        return asked

    assert with_keys(use) == [1, 1, 2]


def test_many_callers_at_once_share_one_request(project: Project, with_keys: Any) -> None:
    project.delay_seconds = 0.1

    async def use(keys: SigningKeys) -> list[Any]:
        return await asyncio.gather(*(keys.find(project.ec.kid) for _ in range(100)))

    assert None not in with_keys(use)
    assert project.asked == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 404},
        {"body": b"<html>Bad gateway</html>"},
        {"body": b"[]"},
        {"body": b'{"keys": {}}'},
        {"body": b'{"keys": [{"kty": "EC"}]}'},
        {"body": b"\xff\x00"},
        {"delay_seconds": 2.0},
    ],
    ids=str,
)
def test_the_last_good_keys_stay_good_while_the_project_talks_nonsense(
    project: Project,
    clock: Clock,
    with_keys: Any,
    fault: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def use(keys: SigningKeys) -> None:
        assert await keys.find(project.ec.kid) is not None
        if "delay_seconds" in fault:
            monkeypatch.setattr(signing_keys, "ANSWER_SECONDS", fault["delay_seconds"] / 4)
        for name, value in fault.items():
            setattr(project, name, value)
        project.listed = [project.rsa]  # which a slow answer would tell, were it waited for
        clock.now += KEPT_SECONDS
        assert await keys.find(project.ec.kid) is not None
        assert await keys.find(project.ec.kid) is not None
        assert project.asked == 2, "it is left in peace for a while after a fault"

    with_keys(use)


def test_without_any_keys_the_answer_is_503_until_the_project_is_back(
    project: Project, clock: Clock, with_keys: Any
) -> None:
    project.status = 503

    async def use(keys: SigningKeys) -> None:
        for _ in range(3):
            with pytest.raises(ApiError) as refused:
                await keys.find(project.ec.kid)
            assert (refused.value.status, refused.value.code) == (503, "unavailable")
            assert int(refused.value.headers["Retry-After"]) >= 1
        assert project.asked == 1
        project.status = 200
        clock.now += int(refused.value.headers["Retry-After"])
        assert await keys.find(project.ec.kid) is not None

    with_keys(use)


def test_a_project_that_nobody_answers_for_is_503(clock: Clock) -> None:
    async def main() -> None:
        async with SigningKeys("http://127.0.0.1:1", clock=clock) as keys:
            with pytest.raises(ApiError) as refused:
                await keys.find("any")
            assert refused.value.status == 503

    asyncio.run(main())


def test_a_project_that_lists_no_keys_has_none(project: Project, with_keys: Any) -> None:
    project.body = b'{"keys": []}'

    assert with_keys(lambda keys: keys.find(project.ec.kid)) is None


def test_only_keys_that_verify_es256_or_rs256_are_taken(project: Project, with_keys: Any) -> None:
    p384 = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), as_dict=True)
    good = project.ec.jwk()
    private = ECAlgorithm.to_jwk(project.ec.private, as_dict=True)
    unfit: dict[str, dict[str, Any]] = {
        "a shared secret": {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
        "an EC key called HS256": {**good, "alg": "HS256"},
        "an EC key called RS256": {**good, "alg": "RS256"},
        "an RSA key called ES256": {**project.rsa.jwk(), "alg": "ES256"},
        "an RSA key of another algorithm": {**project.rsa.jwk(), "alg": "RS512"},
        "another curve": {**p384, "alg": "ES384"},
        "another curve called ES256": {**p384, "alg": "ES256"},
        "for encryption": {**good, "use": "enc"},
        "a private key": {**private, "alg": "ES256"},
    }
    listed = [{**jwk, "kid": name} for name, jwk in unfit.items()]
    project.body = json.dumps({"keys": [*listed, good, {**good, "kid": [5]}]}).encode()

    async def use(keys: SigningKeys) -> list[str]:
        return [name for name in (*unfit, good["kid"]) if await keys.find(name) is not None]

    assert with_keys(use) == [good["kid"]]
