"""`make bench-sweep`: what a sweep costs that finds nothing to do.

The bucket's objects are rows without bytes, each with its asset. All servers run on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

import asyncpg
from prefect import get_client
from prefect.client.schemas.sorting import FlowRunSort

from flows.sweep import sweep
from media_enricher import migrations
from media_enricher.orchestration import resources
from supabase_local import LocalStack
from supabase_local.postgres import SUPERUSER
from tests.prefect_here import prefect_here

BUCKET = "bench-sweep"
_FILL = """
    drop index media_assets_sha256_idx, media_assets_phash_idx, media_assets_tags_idx;
    insert into storage.objects (bucket_id, name, metadata, version)
    select '{bucket}', to_char(n / 1000, 'FM0000') || '/IMG_' || to_char(n, 'FM0000000') || '.jpg',
      jsonb_build_object('eTag', '"' || md5(n::text) || '"', 'size', n, 'mimetype', 'image/jpeg'),
      'v'
    from generate_series(1, {objects}) as n;
    insert into public.media_assets
      (bucket, path, object_id, etag, status, depth, enricher_version)
    select bucket_id, name, id, metadata ->> 'eTag', 'enriched', 'full', 1
    from storage.objects;
"""


def main() -> None:
    """Measure, and print the median and the longest time for which Prefect called it Running."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=1_000_000, help="in the bucket")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalStack.start(Path(folder) / "stack") as stack,
        prefect_here(Path(folder) / "prefect"),
    ):
        migrations.apply(stack.database_url)
        os.environ.update(stack.environment())
        resources.bucket(BUCKET).create_private()
        asyncio.run(_fill(stack.database_url, asked.objects))
        seconds = [_swept() for _ in range(asked.rounds)]
    sys.stdout.write(
        f"{asked.objects:,} objects, nothing to do, {asked.rounds} sweeps: "
        f"median {median(seconds):.2f} s, longest {max(seconds):.2f} s\n"
    )


async def _fill(url: str, objects: int) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(_FILL.format(bucket=BUCKET, objects=objects))
    await connection.close()
    # As autovacuum leaves them sooner or later; only their owner may ask for it.
    owner = await asyncpg.connect(url.replace("//postgres", f"//{SUPERUSER}", 1))
    for table in ("storage.objects", "public.media_assets"):
        await owner.execute(f"vacuum analyze {table}")
    await owner.close()


def _swept() -> float:
    """Sweep; how long the flow run was running, in seconds."""
    state = sweep([BUCKET], return_state=True)
    if state.message != "Nothing to do":
        raise AssertionError(f"the sweep says: {state.message}")
    with get_client(sync_client=True) as prefect:
        (run,) = prefect.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
    return run.total_run_time.total_seconds()


if __name__ == "__main__":
    main()
