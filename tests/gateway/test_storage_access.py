"""Where users who are no admins may work: what Storage's policies open to them, and no more.

What is hidden from a user must not show in any answer, be it a count, a status or a sentence: each
test compares what is said of hidden objects with what is said of none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from supabase_local import LocalStack
from tests.conftest import Put
from tests.gateway.conftest import Gateway, Tokens, gateway_process, let_users_read


@pytest.fixture(scope="module")
def open_gateway(
    migrated_stack: LocalStack, deployments: None, gateway_folder: Path
) -> Iterator[Gateway]:
    """One that lets every user who has an account start runs."""
    everyone = {"MEDIA_ENRICHER_WHO_MAY_TRIGGER": "signed_in"}
    limit = {"MEDIA_ENRICHER_REQUESTS_PER_MINUTE": "1000"}
    with gateway_process(migrated_stack, gateway_folder, everyone | limit) as running:
        yield running


def asked(answer: httpx.Response) -> tuple[int, str]:
    """Status and code, as a prober would compare them."""
    return answer.status_code, answer.json().get("code", "")


def dry(gateway: Gateway, token: str, bucket: str, prefix: str = "") -> httpx.Response:
    return gateway.post("/backfill", token, bucket=bucket, prefix=prefix, dry_run=True)


def test_a_private_bucket_can_not_be_counted_nor_searched(
    open_gateway: Gateway, tokens: Tokens, bucket: str
) -> None:
    user = tokens.of()

    answers = {
        asked(dry(open_gateway, user, name, prefix))
        for name in (bucket, "no-such-bucket")
        for prefix in ("", "images/", "images/one.jpg", "imag", "nothing/")
    }

    assert answers == {(403, "not_readable")}, "the same whether or not there is anything"
    for route in ("/backfill", "/cron"):
        assert open_gateway.post(route, user, bucket=bucket).status_code == 403
    assert not open_gateway.query("select from media_enrich_runs where bucket = $1", bucket)


def test_single_objects_are_for_those_who_can_see_them(
    open_gateway: Gateway, tokens: Tokens, bucket: str
) -> None:
    user = str(uuid4())
    let_users_read(open_gateway, bucket, "owner_id = (auth.jwt() ->> 'sub')")
    open_gateway.query(
        "update storage.objects set owner_id = $2 where bucket_id = $1 and name = 'two.jpg'",
        bucket,
        user,
    )

    def ask(path: str) -> tuple[int, str]:
        body = {"bucket": bucket, "path": path}
        return asked(open_gateway.post("/enrich", tokens.of(sub=user), json=body))

    assert ask("two.jpg") == (202, "")
    assert ask("images/one.jpg") == ask("nothing.jpg") == (403, "not_readable")
    # Whose folder is whose can't be told of names: not even of one where all is the user's.
    assert asked(dry(open_gateway, tokens.of(sub=user), bucket, "two.jpg"))[0] == 403


def test_a_bucket_that_policies_open_can_be_worked_on(
    open_gateway: Gateway, tokens: Tokens, bucket: str
) -> None:
    let_users_read(open_gateway, bucket)
    user = tokens.of()

    assert dry(open_gateway, user, bucket).json()["objects"] == 2
    assert open_gateway.post("/backfill", user, bucket=bucket).status_code == 202


def test_a_folder_that_policies_open_can_be_worked_on_and_no_other(
    open_gateway: Gateway, tokens: Tokens, bucket: str, put: Put
) -> None:
    me, another = str(uuid4()), str(uuid4())
    for folder in (me, another):
        put(bucket, f"{folder}/a.jpg", b"a", "image/jpeg")
    let_users_read(
        open_gateway, bucket, "(storage.foldername(name))[1] = (select auth.jwt() ->> 'sub')"
    )
    mine = tokens.of(sub=me)

    assert dry(open_gateway, mine, bucket, f"{me}/").json()["objects"] == 1
    for prefix in ("", me[:5], me, f"{another}/", another[:5], f"{uuid4()}/", "images/"):
        assert asked(dry(open_gateway, mine, bucket, prefix)) == (403, "not_readable")


@pytest.mark.parametrize(
    ("policy", "is_open"),
    [
        ("as restrictive for select to authenticated using (bucket_id <> '{bucket}')", False),
        ("for insert to authenticated with check (true)", True),
        ("for select to anon using (true)", True),
        # One that can't be asked lets nobody in, rather than everybody.
        (
            "as restrictive for select to authenticated"
            " using (bucket_id <> '{bucket}' or (name || 'x')::int > 0)",
            False,
        ),
    ],
)
def test_policies_count_as_storage_counts_them(
    open_gateway: Gateway, tokens: Tokens, bucket: str, policy: str, is_open: bool
) -> None:
    let_users_read(open_gateway, bucket)
    name = f"test {uuid4()}"
    open_gateway.query(f'create policy "{name}" on storage.objects {policy.format(bucket=bucket)}')
    try:
        status = dry(open_gateway, tokens.of(), bucket).status_code
    finally:
        # No policy of this schema can be dropped here, but it can be made harmless to other tests.
        harmless = "using (true)" if "restrictive" in policy else "using (false)"
        if "insert" in policy:
            harmless = "with check (false)"
        open_gateway.query(f'alter policy "{name}" on storage.objects {harmless}')

    assert status == (200 if is_open else 403)


def test_a_policy_for_a_role_that_the_user_is_not_opens_nothing(
    open_gateway: Gateway, tokens: Tokens, bucket: str
) -> None:
    open_gateway.query(
        f'create policy "servers {uuid4()}" on storage.objects for select to service_role'
        f" using (bucket_id = '{bucket}')"
    )

    assert dry(open_gateway, tokens.of(), bucket).status_code == 403


def test_only_the_buckets_that_one_knows_of_are_listed(
    open_gateway: Gateway, tokens: Tokens, make_bucket: Callable[[], str], put: Put
) -> None:
    hidden, read, own_folder, listed, of_tenant = (make_bucket() for _ in range(5))
    me, tenant = str(uuid4()), str(uuid4())
    let_users_read(open_gateway, read)
    let_users_read(
        open_gateway, own_folder, "(storage.foldername(name))[1] = (auth.jwt() ->> 'sub')"
    )
    open_gateway.query(
        f'create policy "listed {uuid4()}" on storage.buckets for select to authenticated'
        f" using (id = '{listed}')"
    )
    put(of_tenant, f"{tenant}/a.jpg", b"a", "image/jpeg")

    def known(token: str) -> set[str]:
        names = open_gateway.get("/buckets", token).json()["buckets"]
        return {hidden, read, own_folder, listed, of_tenant} & set(names)

    member = tokens.of(app_metadata={"tenant_id": tenant})
    assert known(tokens.of(sub=me)) == {read, own_folder, listed}
    assert known(member) == {read, own_folder, listed, of_tenant}
    assert known(tokens.admin) == {hidden, read, own_folder, listed, of_tenant}
    assert known(open_gateway.stack.service_key) == known(tokens.admin)


def test_a_member_works_in_the_tenants_folder_where_there_is_one(
    open_gateway: Gateway, tokens: Tokens, make_bucket: Callable[[], str], put: Put
) -> None:
    tenant, bucket, without = str(uuid4()), make_bucket(), make_bucket()
    put(bucket, f"{tenant}/a.jpg", b"a", "image/jpeg")
    member = tokens.of(app_metadata={"tenant_id": tenant})

    assert dry(open_gateway, member, bucket, f"{tenant}/").json()["objects"] == 1
    assert asked(dry(open_gateway, member, bucket, f"{uuid4()}/")) == (403, "outside_tenant")
    hidden = {asked(dry(open_gateway, member, name, f"{tenant}/")) for name in (without, "none")}
    assert hidden == {(403, "not_readable")}
    body = {"bucket": bucket, "path": f"{tenant}/a.jpg"}
    assert open_gateway.post("/enrich", member, json=body).status_code == 202


def test_who_asked_for_a_single_object_can_not_stop_the_run_that_others_share(
    open_gateway: Gateway, tokens: Tokens, bucket: str
) -> None:
    user = tokens.of()
    let_users_read(open_gateway, bucket)
    body = {"bucket": bucket, "path": "two.jpg"}
    run_id = open_gateway.post("/enrich", user, json=body).json()["run_id"]

    seen = open_gateway.get(f"/runs/{run_id}", user).json()

    assert (seen["status"], seen["bucket"], seen["error"]) == ("queued", None, None)
    assert open_gateway.post(f"/runs/{run_id}/cancel", user).status_code == 403
