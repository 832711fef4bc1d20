"""`media-enricher recount`: the totals of a bucket are put right, in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import uuid4

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from media_enricher.cli import app
from media_enricher.settings import supabase_settings
from media_enricher.supabase.client import connect
from supabase_local import LocalStack


def recount(bucket: str) -> Result:
    return CliRunner().invoke(app, ["recount", bucket])


def execute(stack: LocalStack, *statements: str) -> None:
    async def work() -> None:
        connection = await asyncpg.connect(stack.database_url)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    asyncio.run(work())


@pytest.mark.usefixtures("supabase_environment")
def test_totals_of_many_pieces_are_put_right(
    migrated_stack: LocalStack, make_bucket: Callable[[], str]
) -> None:
    bucket = make_bucket()
    execute(
        migrated_stack,
        "insert into public.media_assets (bucket, path, status, depth, enricher_version, kind)"
        f" select '{bucket}', to_char(n, 'FM00000'), 'enriched', 'full', 1, 'image'"
        " from generate_series(1, 45000) n",
        f"update public.media_totals set objects = 7 where bucket = '{bucket}'",
    )
    result = recount(bucket)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Counted 45,000 rows" in result.stdout
    totals = connect(supabase_settings()).table("media_totals").select("facet, objects")
    rows = totals.eq("bucket", bucket).eq("scope", "").order("facet").execute().data
    assert rows == [{"facet": facet, "objects": 45_000} for facet in ("alt_text", "kind", "status")]


def test_without_settings_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUPABASE_URL", raising=False)
    result = recount(f"bucket-{uuid4().hex}")
    assert result.exit_code == 2
    assert "SUPABASE_URL" in result.stderr
