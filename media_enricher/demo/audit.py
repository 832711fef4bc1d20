"""What must hold after the demo's runs, asked of the database itself and of its users' clients."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from postgrest import APIError, CountMethod

from media_enricher.demo.filling import BUCKET, settings_of, sign_in
from media_enricher.models import EnrichRun
from media_enricher.snapshot.reader import open_snapshot
from media_enricher.supabase.bucket import Bucket
from media_enricher.supabase.client import connect
from media_enricher.supabase.runs import RunTable
from supabase_local import LocalStack

SHOWN = """
    select distinct on (format) path, content_type, width, height, orientation, camera_model,
           dominant_color, blurhash
    from public.media_assets
    where bucket = $1 and status = 'enriched'
    order by format, (camera_model is null), (coalesce(orientation, 1) = 1), path
"""

COUNTS = """
    select count(*) as objects,
           count(asset.path) as described,
           count(*) filter (where asset.status = 'enriched') as enriched,
           count(*) filter (where asset.status = 'failed') as failed,
           count(*) filter (where asset.status = 'unsupported') as unsupported
    from storage.objects as object
    left join public.media_assets as asset on asset.bucket = bucket_id and asset.path = name
    where bucket_id = $1
"""


class Claim(msgspec.Struct, frozen=True):
    """Something that the demo says of itself, and whether it is so."""

    text: str
    holds: bool


async def query(stack: LocalStack, sql: str) -> list[dict[str, Any]]:
    """Ask one of the questions above of the demo's bucket."""
    connection = await asyncpg.connect(stack.database_url)
    try:
        return [dict(row) for row in await connection.fetch(sql, BUCKET)]
    finally:
        await connection.close()


def claims_of_first_run(stack: LocalStack, run_id: str, counts: dict[str, int]) -> list[Claim]:
    """Nothing was left out, and all three accounts of the run tell the same.

    Args:
        stack: as the run left it.
        run_id: of the run, the first on the bucket.
        counts: the one row that `COUNTS` gives.
    """
    run = _run(stack, run_id)
    in_table = (counts["enriched"], counts["failed"], counts["unsupported"])
    in_run = (run.succeeded, run.failed, run.skipped)
    return [
        Claim(
            f"each of {counts['objects']} objects has its row in media_assets",
            counts["described"] == counts["objects"],
        ),
        Claim(
            f"media_assets, the run's row and its snapshot agree: {counts['enriched']} enriched, "
            f"{counts['failed']} failed, {counts['unsupported']} unsupported",
            in_table == in_run == _in_snapshot(stack, run),
        ),
    ]


def claims_of_second_run(stack: LocalStack, run_id: str, downloads_before: int) -> list[Claim]:
    """The bucket was not touched again."""
    run = _run(stack, run_id)
    was_idle = run.total_files == run.processed_files == 0
    return [
        Claim("the second run found nothing left to do", was_idle),
        Claim("it downloaded nothing", downloads(stack.access_log) == downloads_before),
    ]


def claims_of_tenants(stack: LocalStack, uploads: Mapping[str, int]) -> list[Claim]:
    """Row level security lets each user see their tenant's rows alone, through supabase-py.

    Args:
        stack: as the runs left it.
        uploads: how many objects each user uploaded, by email address.
    """
    claims = []
    for user in (stack.users.ada, stack.users.ben):
        table = sign_in(stack, user).table("media_assets")
        of_others = table.select("id").neq("tenant_id", user.tenant_id or "").execute().data
        seen = table.select("id", count=CountMethod.exact).limit(1).execute().count
        claims.append(
            Claim(
                f"{user.email} sees the {seen} rows of their tenant, and no other",
                not of_others and seen == uploads[user.email],
            )
        )
    return [*claims, Claim("without signing in, nobody sees a row", _anon_sees_nothing(stack))]


def downloads(access_log: Path) -> int:
    """How many objects of the bucket were asked of Storage since the stack was started."""
    start = f"/object/authenticated/{BUCKET}/"
    requests = (json.loads(line) for line in access_log.read_text().splitlines())
    return sum(
        request["method"] == "GET" and request["path"].startswith(start) for request in requests
    )


def _run(stack: LocalStack, run_id: str) -> EnrichRun:
    run = RunTable(connect(settings_of(stack))).get(run_id)
    if run is None:
        raise LookupError(f"run {run_id} has no row in media_enrich_runs")
    return run


def _in_snapshot(stack: LocalStack, run: EnrichRun) -> tuple[int, int, int]:
    client = connect(settings_of(stack))
    snapshot = open_snapshot(run.snapshot_path or "", lambda name: Bucket(client, name))
    statuses = snapshot.table["status"].to_pylist()
    return (
        statuses.count("enriched"),
        statuses.count("failed"),
        statuses.count("unsupported"),
    )


def _anon_sees_nothing(stack: LocalStack) -> bool:
    try:
        return not sign_in(stack, None).table("media_assets").select("id").execute().data
    except APIError as refused:
        return refused.code == "42501"
