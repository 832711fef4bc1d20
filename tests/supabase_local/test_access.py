"""Who may do what: keys, sign-in, row level security in Storage and PostgREST."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import asyncpg
import httpx
import jwt
import pytest
from postgrest.exceptions import APIError
from storage3.types import FileOptions
from supabase import Client, create_client
from supabase_auth.errors import AuthApiError

from supabase_local import LocalStack, User
from tests.waiting import wait_for

POLICIES = """
    create policy own_files_read on storage.objects for select to authenticated
      using (bucket_id = '{bucket}' and owner_id = (select auth.uid())::text);
    create policy own_folder_write on storage.objects for insert to authenticated
      with check (bucket_id = '{bucket}'
        and (storage.foldername(name))[1] = (select auth.jwt() -> 'app_metadata' ->> 'tenant_id'));
    create policy own_files_delete on storage.objects for delete to authenticated
      using (bucket_id = '{bucket}' and owner_id = (select auth.uid())::text);
"""
TEXT: FileOptions = {"content-type": "text/plain"}


def run_sql(stack: LocalStack, sql: str) -> list[asyncpg.Record]:
    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(stack.database_url)
        try:
            await connection.execute(sql)
            return []
        finally:
            await connection.close()

    return asyncio.run(run())


@pytest.fixture
def guarded(stack: LocalStack, make_bucket: Callable[[], str]) -> Iterator[str]:
    """A bucket where users read their own files and write into their tenant's folder."""
    bucket = make_bucket()
    run_sql(stack, POLICIES.format(bucket=bucket))
    yield bucket
    run_sql(
        stack,
        "drop policy own_files_read on storage.objects;"
        "drop policy own_folder_write on storage.objects;"
        "drop policy own_files_delete on storage.objects;",
    )


def test_row_level_security_binds_users_in_storage(
    stack: LocalStack, service: Client, signed_in: Callable[[User], Client], guarded: str
) -> None:
    ada, ben = stack.users.ada, stack.users.ben
    key = f"{ada.tenant_id}/a.txt"
    as_ada = signed_in(ada).storage.from_(guarded)
    as_ben = signed_in(ben).storage.from_(guarded)

    as_ada.upload(key, b"ada's", TEXT)

    assert as_ada.download(key) == b"ada's"
    assert [entry["name"] for entry in as_ada.list(str(ada.tenant_id))] == ["a.txt"]
    assert as_ben.list(str(ada.tenant_id)) == []
    with pytest.raises(Exception, match="Object not found"):
        as_ben.download(key)
    with pytest.raises(Exception, match="row-level security"):
        as_ben.upload(f"{ada.tenant_id}/forged.txt", b"x", TEXT)
    with pytest.raises(Exception, match="not_found"):
        as_ben.create_signed_url(key, 60)
    assert as_ben.remove([key]) == []
    assert service.storage.from_(guarded).download(key) == b"ada's"
    assert len(as_ada.remove([key])) == 1


def test_owners_are_users_and_never_keys(
    stack: LocalStack, service: Client, signed_in: Callable[[User], Client], guarded: str
) -> None:
    ada = stack.users.ada
    signed_in(ada).storage.from_(guarded).upload(f"{ada.tenant_id}/own.txt", b"x", TEXT)
    service.storage.from_(guarded).upload("by-key.txt", b"x", TEXT)

    rows = service.storage.from_(guarded).remove([f"{ada.tenant_id}/own.txt", "by-key.txt"])

    owners = {row["name"]: (row["owner"], row["owner_id"]) for row in rows}
    assert owners == {
        f"{ada.tenant_id}/own.txt": (ada.id, ada.id),
        "by-key.txt": (None, None),
    }


def test_anonymous_callers_see_nothing(stack: LocalStack, guarded: str) -> None:
    anonymous = create_client(stack.url, stack.anon_key)

    assert anonymous.storage.list_buckets() == []
    with pytest.raises(Exception, match="row-level security"):
        anonymous.storage.from_(guarded).upload("a.txt", b"x", TEXT)


def test_a_signed_in_user_carries_verifiable_claims(stack: LocalStack) -> None:
    ada = stack.users.ada
    client = create_client(stack.url, stack.anon_key)
    session = client.auth.sign_in_with_password(
        {"email": ada.email, "password": ada.password}
    ).session
    assert session
    user = client.auth.get_user()
    assert user
    assert (user.user.id, user.user.app_metadata["tenant_id"]) == (ada.id, ada.tenant_id)

    (jwk,) = httpx.get(f"{stack.url}/auth/v1/.well-known/jwks.json").json()["keys"]
    assert "d" not in jwk
    claims = jwt.decode(
        session.access_token,
        jwt.PyJWK(jwk).key,
        algorithms=["ES256"],
        audience="authenticated",
        issuer=f"{stack.url}/auth/v1",
    )
    assert (claims["sub"], claims["role"]) == (ada.id, "authenticated")
    assert jwt.get_unverified_header(session.access_token)["kid"] == jwk["kid"]


def test_a_refresh_token_works_once_and_not_after_sign_out(stack: LocalStack) -> None:
    client = create_client(stack.url, stack.anon_key)
    ben = stack.users.ben
    session = client.auth.sign_in_with_password(
        {"email": ben.email, "password": ben.password}
    ).session
    assert session
    renewed = client.auth.refresh_session(session.refresh_token).session
    assert renewed
    with pytest.raises(AuthApiError, match="Refresh Token"):
        client.auth.refresh_session(session.refresh_token)
    client.auth.set_session(renewed.access_token, renewed.refresh_token)
    client.auth.sign_out()
    with pytest.raises(AuthApiError, match="Refresh Token"):
        client.auth.refresh_session(renewed.refresh_token)


def test_a_wrong_password_is_refused(stack: LocalStack) -> None:
    client = create_client(stack.url, stack.anon_key)

    for email in (stack.users.ada.email, "nobody@example.com"):
        with pytest.raises(AuthApiError, match="Invalid login credentials"):
            client.auth.sign_in_with_password({"email": email, "password": "wrong"})


# Made once: PostgREST reads the schema a moment after each change. Dropped and made again, a table
# could be known from before, be forgotten then, and only later be known again.
@pytest.fixture(scope="module")
def notes(stack: LocalStack) -> Iterator[None]:
    """A table that users may read their own rows of; made as a migration would."""
    run_sql(
        stack,
        "create table public.notes (id int primary key, owner uuid, text text);"
        "create table public.not_granted (id int);"
        "alter table public.notes enable row level security;"
        "grant select on public.notes to authenticated;"
        "grant all on public.notes to service_role;"
        "create policy own on public.notes for select to authenticated"
        "  using (owner = (select auth.uid()));",
    )
    wait_until_known(stack, "notes")
    yield
    run_sql(stack, "drop table public.notes, public.not_granted")


def wait_until_known(stack: LocalStack, table: str) -> None:
    """PostgREST hears of a change of the schema a moment later."""
    url, headers = f"{stack.url}/rest/v1/", {"apikey": stack.service_key}
    # Its description has the tables that it knows. Reads, and an insert of no rows, are answered
    # before it knows the table; an insert of rows is answered with 404.
    wait_for(
        lambda: f"/{table}" in httpx.get(url, headers=headers).json()["paths"],
        f"PostgREST never heard of {table}",
    )


def test_every_kind_of_key_reaches_postgrest_in_its_role(
    stack: LocalStack, signed_in: Callable[[User], Client], notes: None
) -> None:
    ada, ben = stack.users.ada, stack.users.ben
    rows = [{"id": 1, "owner": ada.id, "text": "a"}, {"id": 2, "owner": ben.id, "text": "b"}]
    create_client(stack.url, stack.service_key).table("notes").insert(rows).execute()

    for key in (stack.service_key, stack.service_role_jwt):
        assert len(create_client(stack.url, key).table("notes").select("*").execute().data) == 2
    as_ada = signed_in(ada).table("notes").select("id").execute()
    assert as_ada.data == [{"id": 1}]
    for key in (stack.anon_key, stack.anon_jwt):
        with pytest.raises(APIError, match="permission denied for table notes"):
            create_client(stack.url, key).table("notes").select("*").execute()


def test_a_table_that_was_not_granted_is_closed_even_to_the_service_key(
    stack: LocalStack, service: Client, notes: None
) -> None:
    with pytest.raises(APIError) as refusal:
        service.table("not_granted").select("*").execute()
    assert refusal.value.code == "42501"


@pytest.mark.parametrize("key", [None, "sb_secret_forged", "eyJhbGciOiJub25lIn0.e30."])
def test_rest_needs_a_key_that_is_ours(stack: LocalStack, key: str | None) -> None:
    answer = httpx.get(f"{stack.url}/rest/v1/", headers={"apikey": key} if key else {})

    assert answer.status_code == 401


def test_an_expired_user_token_is_refused(stack: LocalStack) -> None:
    expired = jwt.encode({"role": "service_role", "exp": 1}, "x" * 32, algorithm="HS256")
    headers = {"apikey": stack.anon_key, "authorization": f"Bearer {expired}"}

    assert httpx.get(f"{stack.url}/rest/v1/", headers=headers).status_code == 401
    assert httpx.get(f"{stack.url}/auth/v1/user", headers=headers).status_code == 403


def test_browsers_are_let_through(stack: LocalStack) -> None:
    asked = {
        "origin": "http://localhost:3000",
        "access-control-request-method": "POST",
        "access-control-request-headers": "apikey,authorization,x-client-info",
    }
    for service in ("rest", "storage", "auth"):
        answer = httpx.options(f"{stack.url}/{service}/v1/x", headers=asked)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "x-client-info" in answer.headers["access-control-allow-headers"]


def test_the_storage_schema_is_not_ours_to_change(stack: LocalStack) -> None:
    for forbidden in (
        "create index on storage.objects (version)",
        "alter table storage.objects add column mine int",
        "create function storage.mine() returns int language sql as 'select 1'",
        "delete from storage.objects",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            run_sql(stack, forbidden)


def test_rest_can_be_taken_away_and_comes_back(stack: LocalStack, service: Client) -> None:
    url, headers = f"{stack.url}/rest/v1/", {"apikey": stack.service_key}
    with stack.without_rest():
        assert httpx.get(url, headers=headers).status_code == 503
    assert httpx.get(url, headers=headers).status_code == 200
