"""Who sees and does what, through supabase-py and PostgREST: the promise to a frontend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from postgrest.exceptions import APIError
from supabase import Client

from media_enricher import project_admins
from media_enricher.models import AssetStatus, Depth, MediaAsset
from media_enricher.supabase.assets import AssetTable
from media_enricher.supabase.runs import RunTable
from supabase_local import LocalStack
from tests.conftest import Put
from tests.recording import record

SignIn = Callable[[str | None], Client]
NO_PERMISSION = "42501"
POLLED = "id, started_at, status, total_files, processed_files, succeeded, failed"
HIDDEN = ("prefix", "requested_by", "error", "snapshot_path", "bucket", "flow")

ARGUMENTS: dict[str, dict[str, Any]] = {
    "media_pending_objects": {
        "p_bucket": "b", "p_prefix": "", "p_mode": "all", "p_depth": "full",
        "p_enricher_version": 1, "p_transient_codes": [], "p_max_attempts": 3, "p_after": "",
        "p_limit": 10,
    },
    "media_pending_page": {
        "p_bucket": "b", "p_prefix": "", "p_mode": "all", "p_depth": "full",
        "p_enricher_version": 1, "p_transient_codes": [], "p_max_attempts": 3, "p_after": "",
        "p_limit": 10,
    },
    "media_count_pending": {
        "p_bucket": "b", "p_prefix": "", "p_mode": "all", "p_depth": "full",
        "p_enricher_version": 1, "p_transient_codes": [], "p_max_attempts": 3,
    },
    "media_silent_runs": {"p_silence_seconds": 60},
    "media_end_silent_run": {
        "p_run_id": str(uuid4()), "p_heartbeat_at": None, "p_status": "crashed", "p_error": None,
        "p_finished_at": None,
    },
    "media_undrained_requests": {},
    "media_purge_requests": {"p_keep_days": 90},
    "media_split_pending": {
        "p_bucket": "b", "p_prefix": "", "p_mode": "all", "p_depth": "full",
        "p_enricher_version": 1, "p_transient_codes": [], "p_max_attempts": 3, "p_shards": 2,
    },
    "media_mark_gone": {"p_bucket": "b", "p_prefix": ""},
    "media_piece_ends": {
        "p_bucket": "b", "p_prefix": "", "p_after": "", "p_until": "", "p_rows": 10, "p_most": 2,
    },
    "media_compare_piece": {
        "p_bucket": "b", "p_prefix": "", "p_mode": "all", "p_depth": "full",
        "p_enricher_version": 1, "p_transient_codes": [], "p_max_attempts": 3, "p_after": "",
        "p_until": "", "p_rows": 10,
    },
    "media_compare_next_piece": {
        "p_bucket": "b", "p_depth": "full", "p_enricher_version": 1, "p_transient_codes": [],
        "p_max_attempts": 3,
    },
    "media_next_comparison": {"p_bucket": "b", "p_transient_codes": [], "p_max_attempts": 3},
    "media_note_comparison": {
        "p_bucket": "b", "p_from": "", "p_after": "", "p_is_complete": True,
        "p_started_at": "2026-01-01T00:00:00Z", "p_objects": 0, "p_tenants": [],
    },
    "media_record_part": {
        "p_run_id": str(uuid4()), "p_part": 0, "p_bucket": "b", "p_assets": [],
        "p_transient_codes": [], "p_bytes_read": 0,
    },
    "media_give_up_parts": {"p_bucket": "b", "p_silence_seconds": 60},
    "media_forget_parts": {"p_run_id": str(uuid4()), "p_parts": [0]},
    "media_purge_run_records": {"p_keep_days": 90},
    "media_recount_piece": {"p_bucket": "b"},
    "media_record_run": {"p_run": {"id": str(uuid4()), "bucket": "b"}},
    "media_run_failures": {"p_run_id": str(uuid4())},
    "media_request_run": {
        "p_request": {
            "route": "backfill", "flow": "backfill", "bucket": "b",
            "refusal": {"http_status": 403, "reason": "not_admin"},
        },
        "p_limits": {},
    },
    "media_release_request": {"p_request_id": str(uuid4())},
    "media_settle_invocation": {
        "p_invocation_id": str(uuid4()), "p_http_status": 503, "p_reason": "unavailable",
    },
    "media_requested_objects": {
        "p_bucket": "b", "p_prefix": "", "p_depth": "full", "p_enricher_version": 1,
        "p_transient_codes": [], "p_max_attempts": 3, "p_limit": 10,
    },
    "media_fulfil_requests": {
        "p_bucket": "b", "p_prefix": "", "p_paths": [], "p_sequence": 0, "p_run_id": str(uuid4()),
        "p_idle": [], "p_sequences": [],
    },
    "media_finish_requests": {"p_run_id": str(uuid4()), "p_bucket": "b", "p_prefix": ""},
    "media_count_unauthenticated": {"p_requests": {}},
    "media_was_told": {"p_run_id": str(uuid4()), "p_user_id": str(uuid4())},
    "media_tenant_buckets": {"p_tenant_id": str(uuid4())},
    "media_own_buckets": {"p_buckets": {}},
    "media_watch_buckets": {"p_buckets": []},
    "media_cuts": {"p_bucket": "b"},
    "media_note_cuts": {"p_bucket": "b", "p_paths": [], "p_done": []},
    "media_tenant_id": {"p_bucket": "b", "p_path": "a.jpg"},
}  # fmt: skip


@pytest.fixture
def media(
    migrated_stack: LocalStack,
    make_bucket: Callable[[], str],
    put: Put,
    assets: AssetTable,
    sign_in: SignIn,
) -> str:
    """A bucket of enriched objects: one of each user's tenant, one that Ada uploaded, one other."""
    users, bucket = migrated_stack.users, make_bucket()
    paths = [f"{users.ada.tenant_id}/a.jpg", f"{users.ben.tenant_id}/b.jpg", "nobody.jpg"]
    for path in paths:
        put(bucket, path, b"pixels", "image/jpeg")
    with httpx.Client() as http:
        http.post(
            f"{migrated_stack.url}/storage/v1/object/{bucket}/own.jpg",
            content=b"pixels",
            headers={"authorization": f"Bearer {migrated_stack.service_key}"},
        ).raise_for_status()
    _give(migrated_stack, bucket, "own.jpg", users.ada.id)
    record(assets,
        str(uuid4()),
        [
            MediaAsset(
                bucket=bucket, path=path, etag=None, size_bytes=6, declared_content_type=None,
                depth=Depth.FULL, enricher_version=1, status=AssetStatus.ENRICHED, width=3,
                height=2,
            )
            for path in [*paths, "own.jpg"]
        ],
    )  # fmt: skip
    return bucket


def _give(stack: LocalStack, bucket: str, path: str, owner: str) -> None:
    import asyncio

    import asyncpg

    async def give() -> None:
        connection = await asyncpg.connect(stack.database_url)
        await connection.execute(
            "update storage.objects set owner_id = $3 where bucket_id = $1 and name = $2",
            *(bucket, path, owner),
        )
        await connection.close()

    asyncio.run(give())


def seen(frontend: Client, bucket: str) -> set[str]:
    rows: Any = frontend.table("media_assets").select("path").eq("bucket", bucket).execute().data
    return {row["path"].rpartition("/")[2] for row in rows}


def test_users_see_their_own_media_and_their_tenants(media: str, sign_in: SignIn) -> None:
    assert seen(sign_in("ada"), media) == {"a.jpg", "own.jpg"}
    assert seen(sign_in("ben"), media) == {"b.jpg"}


def test_a_tenant_written_into_user_metadata_opens_nothing(
    migrated_stack: LocalStack, media: str, sign_in: SignIn
) -> None:
    """Signed in as Ben, who tells Auth that he is of Ada's tenant."""
    import asyncio

    import asyncpg

    async def forge(metadata: str) -> None:
        connection = await asyncpg.connect(migrated_stack.database_url)
        await connection.execute(
            "update auth.users set raw_user_meta_data = $2::jsonb where id = $1",
            *(migrated_stack.users.ben.id, metadata),
        )
        await connection.close()

    asyncio.run(forge(f'{{"tenant_id": "{migrated_stack.users.ada.tenant_id}"}}'))
    try:
        assert seen(sign_in("ben"), media) == {"b.jpg"}
    finally:
        asyncio.run(forge("{}"))


def test_an_admin_of_the_whole_project_sees_all_where_that_is_turned_on(
    migrated_stack: LocalStack, media: str, sign_in: SignIn
) -> None:
    admin, ben = sign_in("admin"), sign_in("ben")
    assert seen(admin, media) == set()
    project_admins.turn_on(migrated_stack.database_url)
    try:
        assert seen(admin, media) == {"a.jpg", "b.jpg", "own.jpg", "nobody.jpg"}
        facets: Any = admin.rpc("media_facets", {"bucket": media}).execute().data
        assert sum(row["objects"] for row in facets if row["facet"] == "status") == 4
        pages: Any = admin.rpc("media_facets_page", {"bucket": media}).execute().data
        assert [(page["objects"], page["next_after"]) for page in pages] == [(4, None)]
        assert seen(ben, media) == {"b.jpg"}
    finally:
        project_admins.turn_off(migrated_stack.database_url)
    assert seen(admin, media) == set()


@pytest.mark.parametrize("table", ["media_assets", "media_enrich_runs"])
def test_nobody_sees_nothing(media: str, sign_in: SignIn, table: str) -> None:
    with pytest.raises(APIError) as refused:
        sign_in(None).table(table).select("id").execute()
    assert refused.value.code == NO_PERMISSION


@pytest.mark.parametrize("who", [None, "ada", "admin"])
@pytest.mark.parametrize("table", ["media_assets", "media_enrich_runs"])
def test_no_client_writes(media: str, sign_in: SignIn, table: str, who: str | None) -> None:
    frontend = sign_in(who).table(table)
    key = {"id": str(uuid4())}
    for attempt in (
        frontend.insert({**key, "bucket": media}),
        frontend.update({"status": "failed"}).neq("id", key["id"]),
        frontend.delete().neq("id", key["id"]),
    ):
        with pytest.raises(APIError) as refused:
            attempt.execute()
        assert refused.value.code == NO_PERMISSION


@pytest.mark.parametrize("who", [None, "ada", "admin"])
@pytest.mark.parametrize("function", ARGUMENTS)
def test_no_client_calls_the_pipelines_functions(
    migrated_stack: LocalStack, sign_in: SignIn, function: str, who: str | None
) -> None:
    with pytest.raises(APIError) as refused:
        sign_in(who).rpc(function, ARGUMENTS[function]).execute()
    assert refused.value.code == NO_PERMISSION


def test_the_service_role_calls_them_all(client: Client) -> None:
    for function, arguments in ARGUMENTS.items():
        client.rpc(function, arguments).execute()


@pytest.mark.parametrize("schema", ["audit", "media_enricher"])
def test_what_is_internal_is_not_exposed(client: Client, schema: str) -> None:
    from media_enricher.supabase.errors import SupabaseError

    with pytest.raises(SupabaseError, match="schema"):
        client.schema(schema).table("enricher_invocations").select("*").execute()


def test_runs_are_seen_by_their_tenant_and_those_of_none_by_all(
    migrated_stack: LocalStack, runs: RunTable, sign_in: SignIn
) -> None:
    users = migrated_stack.users
    of_ada, of_nobody = str(uuid4()), str(uuid4())
    runs.record(of_ada, bucket="b", tenant_id=users.ada.tenant_id, requested_by=users.ada.id)
    runs.record(of_nobody, bucket="b", prefix="secret/", requested_by=users.admin.id, error="why")

    def polled(who: str) -> set[str]:
        rows: Any = (
            sign_in(who)
            .table("media_enrich_runs")
            .select(POLLED)
            .order("started_at", desc=True)
            .limit(20)
            .execute()
            .data
        )
        return {row["id"] for row in rows}

    assert {of_ada, of_nobody} <= polled("ada")
    assert of_ada not in polled("ben")
    assert of_nobody in polled("ben")


@pytest.mark.parametrize("column", HIDDEN)
@pytest.mark.parametrize("use", ["select", "filter", "order"])
def test_what_a_run_looks_at_and_for_whom_is_not_shown(
    migrated_stack: LocalStack, runs: RunTable, sign_in: SignIn, column: str, use: str
) -> None:
    runs.record(str(uuid4()), bucket="b", prefix="secret/")
    table = sign_in("ada").table("media_enrich_runs")
    query = table.select(column if use == "select" else "id")
    if use == "filter":
        query = query.like(column, "s%")
    if use == "order":
        query = query.order(column)
    with pytest.raises(APIError) as refused:
        query.execute()
    assert refused.value.code == NO_PERMISSION
