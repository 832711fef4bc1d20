"""What each kind of caller may do and see."""

from __future__ import annotations

import asyncio

import asyncpg
import msgspec
import pytest

from media_enricher.gateway.auth import SERVICE, WEBHOOK, Caller, Role
from media_enricher.gateway.errors import ApiError
from media_enricher.gateway.permissions import (
    PROGRESS_COLUMNS,
    RunScope,
    View,
    columns,
    is_rate_limited,
    may_see_all,
    may_see_objects,
    may_trigger,
    require_may_trigger,
    require_within_tenant,
    run_scope,
    visible,
)
from media_enricher.models import EnrichRun, FlowName
from media_enricher.settings import GatewaySettings, WhoMayTrigger
from supabase_local import LocalStack

OURS = "8d0f9e1c-5b7a-4c3d-9e2f-1a2b3c4d5e6f"
THEIRS = "11111111-2222-4333-8444-555555555555"
ME = "3f0c1d52-7a0e-4a51-9d0e-0a4c8f6f1f11"
ADMIN = Caller(role=Role.USER, user_id=ME, is_admin=True)
TENANT_ADMIN = Caller(role=Role.USER, user_id=ME, is_admin=True, tenant_id=OURS)
MEMBER = Caller(role=Role.USER, user_id=ME, tenant_id=OURS)
USER = Caller(role=Role.USER, user_id=ME)
ANONYMOUS = Caller(role=Role.USER, user_id=ME, is_anonymous=True)
CALLERS = {
    "service": SERVICE,
    "webhook": WEBHOOK,
    "admin": ADMIN,
    "tenant admin": TENANT_ADMIN,
    "member": MEMBER,
    "user": USER,
    "anonymous": ANONYMOUS,
}


def gateway(who: WhoMayTrigger) -> GatewaySettings:
    return GatewaySettings(who_may_trigger=who)


@pytest.mark.parametrize(
    ("who", "admins_only", "signed_in"),
    [
        ("service", True, True),
        ("webhook", True, True),
        ("admin", True, True),
        ("tenant admin", True, True),
        ("member", False, True),
        ("user", False, True),
        ("anonymous", False, False),
    ],
)
def test_who_may_start_runs(who: str, admins_only: bool, signed_in: bool) -> None:
    for setting, is_allowed in (
        (WhoMayTrigger.ADMINS, admins_only),
        (WhoMayTrigger.SIGNED_IN, signed_in),
    ):
        assert may_trigger(CALLERS[who], gateway(setting)) is is_allowed
        if is_allowed:
            require_may_trigger(CALLERS[who], gateway(setting))
            continue
        with pytest.raises(ApiError) as refused:
            require_may_trigger(CALLERS[who], gateway(setting))
        assert (refused.value.status, refused.value.code) == (403, "not_admin")


def test_the_default_is_admins_only() -> None:
    assert not may_trigger(USER, GatewaySettings())


def test_the_rate_limit_is_for_users_who_are_no_admins() -> None:
    limited = {name for name, caller in CALLERS.items() if is_rate_limited(caller)}

    assert limited == {"member", "user", "anonymous"}


@pytest.mark.parametrize("caller", [TENANT_ADMIN, MEMBER])
@pytest.mark.parametrize(
    ("path", "is_inside"),
    [
        (f"{OURS}/", True),
        (f"{OURS}/photos/a.jpg", True),
        (f"{OURS.upper()}/photos/", True),
        ("", False),
        ("photos/", False),
        (f"{THEIRS}/", False),
        (OURS, False),  # as a prefix it would match every folder that starts so
        (f"{OURS}-archive/", False),
        (f"/{OURS}/", False),
        (f" {OURS}/", False),
        (f"{THEIRS}/../{OURS}/", False),
        (OURS.replace("-", "") + "/", False),
    ],
)
def test_who_belongs_to_a_tenant_stays_in_its_folder(
    caller: Caller, path: str, is_inside: bool
) -> None:
    if is_inside:
        require_within_tenant(caller, path, "prefix")
        return
    with pytest.raises(ApiError) as refused:
        require_within_tenant(caller, path, "prefix")
    assert (refused.value.status, refused.value.code) == (403, "outside_tenant")
    assert refused.value.extras == {"field": "prefix", "value": path, "allowed": f"{OURS}/"}
    assert f"{OURS}/" in refused.value.error


@pytest.mark.parametrize("caller", [SERVICE, ADMIN, WEBHOOK])
@pytest.mark.parametrize("path", ["", "photos/", f"{THEIRS}/"])
def test_who_belongs_to_none_goes_anywhere(caller: Caller, path: str) -> None:
    require_within_tenant(caller, path, "prefix")


@pytest.mark.parametrize(
    ("who", "scope"),
    [
        ("service", {}),
        ("admin", {}),
        ("tenant admin", {"tenant_id": OURS}),
        ("member", {"tenant_id": OURS}),
        ("user", {"requested_by": ME}),
        ("anonymous", {"requested_by": ME}),
        ("webhook", {"requested_by": "webhook"}),
    ],
)
def test_which_runs_are_listed(who: str, scope: RunScope) -> None:
    assert run_scope(CALLERS[who]) == scope
    assert may_see_all(CALLERS[who]) is (scope == {})


RUNS = {
    "of nobody": EnrichRun(id="1", bucket="photos"),
    "of a server": EnrichRun(id="2", bucket="photos", requested_by="service_role"),
    "mine": EnrichRun(id="3", bucket="photos", requested_by=ME),
    "my tenant's": EnrichRun(id="4", bucket="photos", prefix=f"{OURS}/", tenant_id=OURS),
    "another tenant's": EnrichRun(id="5", bucket="photos", prefix=f"{THEIRS}/", tenant_id=THEIRS),
    "mine in another tenant": EnrichRun(id="6", bucket="p", tenant_id=THEIRS, requested_by=ME),
}
RUNS["single objects, mine and others'"] = EnrichRun(
    id="7", bucket="photos", flow=FlowName.ENRICH_OBJECT, requested_by=ME
)
ALL = dict.fromkeys(RUNS, View.WHOLE)
OF_MY_TENANT = {"my tenant's": View.WHOLE}
MINE_AND_PROGRESS = {
    "of nobody": View.PROGRESS,
    "of a server": View.PROGRESS,
    "mine": View.WHOLE,
    "mine in another tenant": View.WHOLE,
    "single objects, mine and others'": View.PROGRESS,
}


@pytest.mark.parametrize(
    ("who", "seen"),
    [
        ("service", ALL),
        ("admin", ALL),
        ("tenant admin", OF_MY_TENANT),
        ("member", OF_MY_TENANT),
        ("user", MINE_AND_PROGRESS),
        ("webhook", {}),
    ],
)
def test_how_much_of_a_run_is_seen(who: str, seen: dict[str, View]) -> None:
    views = {name: visible(run, CALLERS[who]) for name, run in RUNS.items()}

    assert {name: view for name, view in views.items() if view} == seen


@pytest.mark.parametrize(
    ("who", "opened"),
    [
        ("service", set(RUNS)),
        ("admin", set(RUNS)),
        ("tenant admin", {"my tenant's"}),
        ("member", set()),
        # Having started a run over a bucket opens none of its files.
        ("user", set()),
        ("webhook", set()),
    ],
)
def test_whose_objects_are_shown(who: str, opened: set[str]) -> None:
    assert {name for name, run in RUNS.items() if may_see_objects(run, CALLERS[who])} == opened


def test_progress_hides_what_a_run_looks_at_for_whom_and_what_went_wrong() -> None:
    run = EnrichRun(id="1", bucket="photos", prefix="secret/", error="secret", requested_by=ME)

    assert columns(run, View.WHOLE) == msgspec.structs.asdict(run)
    assert tuple(columns(run, View.PROGRESS)) == PROGRESS_COLUMNS
    assert not {"bucket", "prefix", "error", "requested_by"} & set(PROGRESS_COLUMNS)


def test_progress_is_no_more_than_row_level_security_shows_anyone(
    migrated_stack: LocalStack,
) -> None:
    async def granted() -> set[str]:
        connection = await asyncpg.connect(migrated_stack.database_url)
        rows = await connection.fetch(
            "select column_name from information_schema.column_privileges"
            " where table_name = 'media_enrich_runs' and grantee = 'authenticated'"
            " and privilege_type = 'SELECT'"
        )
        await connection.close()
        return {row["column_name"] for row in rows}

    assert set(PROGRESS_COLUMNS) <= asyncio.run(granted())
