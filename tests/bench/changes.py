"""`make bench-changes`: what the change feed costs an upload, and whether it loses any.

By default, the time of 10,000 statements as Storage makes them for an upload, in SQL, one after the
other, without and with the triggers. With `--kills`, 2,000 uploads and as many overwrites, moves
and deletions, while the gateway, the worker, its runs and Prefect are killed at random.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import asyncpg
import msgspec

from media_enricher import change_feed, migrations
from supabase_local.postgres import running_postgres
from tests.bench import change_kills

BUCKET = "bench-changes"
_OTHER = "bench-others"
_UPLOADS = """
    create function pg_temp.uploads(p_bucket text, p_count integer)
    returns table (median double precision, mean double precision) language plpgsql as $$
    declare
      began timestamptz;
      milliseconds double precision[] := '{{}}';
    begin
      for number in 1..p_count loop
        began := clock_timestamp();
        insert into storage.objects (bucket_id, name, owner_id, version, metadata)
        values (p_bucket, gen_random_uuid() || '.jpg', gen_random_uuid(), gen_random_uuid(),
          '{{"eTag": "0", "size": 1000, "mimetype": "image/jpeg"}}')
        on conflict (bucket_id, name) do update set
          version = excluded.version, metadata = excluded.metadata, owner_id = excluded.owner_id;
        milliseconds := milliseconds || extract(epoch from clock_timestamp() - began) * 1000;
      end loop;
      return query
      select percentile_cont(0.5) within group (order by each), avg(each)
      from unnest(milliseconds) as each;
    end
    $$
"""


class Cost(msgspec.Struct, frozen=True):
    """How long the statement of one upload takes, in milliseconds."""

    median: float
    mean: float


def main() -> None:
    """Measure, or kill; print what came out."""
    parser = argparse.ArgumentParser(prog="make bench-changes", description=__doc__)
    parser.add_argument("--uploads", type=int, help="default: 10,000; with --kills, 2,000")
    parser.add_argument("--kills", action="store_true", help="kill everything but Supabase")
    parser.add_argument("--seconds", type=float, default=240, help="that --kills lasts")
    parser.add_argument("--seed", type=int, default=13, help="of what --kills does")
    options = parser.parse_args()
    if options.kills:
        change_kills.main(options.uploads or 2_000, options.seconds, options.seed)
        return
    uploads = options.uploads or 10_000
    with tempfile.TemporaryDirectory() as folder, running_postgres(Path(folder)) as postgres:
        migrations.apply(postgres.url())
        costs = measure(postgres.url(), uploads)
    for what, cost in costs.items():
        sys.stdout.write(
            f"{what:40} median {cost.median:.3f} ms, mean {cost.mean:.3f} ms, {uploads:,} uploads\n"
        )


def measure(database_url: str, uploads: int) -> dict[str, Cost]:
    """Measure uploads without the feed, and with it: to a watched bucket, and to another."""
    return {
        "without the change feed": asyncio.run(_upload(database_url, BUCKET, uploads)),
        "with it, to a watched bucket": _with_feed(database_url, BUCKET, uploads),
        "with it, to another bucket": _with_feed(database_url, _OTHER, uploads),
    }


def _with_feed(database_url: str, bucket: str, uploads: int) -> Cost:
    change_feed.turn_on(database_url, [BUCKET], [])
    return asyncio.run(_upload(database_url, bucket, uploads))


async def _upload(database_url: str, bucket: str, uploads: int) -> Cost:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "insert into storage.buckets (id, name) select name, name"
            f" from unnest(array['{BUCKET}', '{_OTHER}']) as name on conflict do nothing"
        )
        await connection.execute(_UPLOADS.format())
        measured = "select * from pg_temp.uploads($1, $2)"
        await connection.fetch(measured, bucket, uploads // 10)  # caches, plans, first pages
        return Cost(*await connection.fetchrow(measured, bucket, uploads))
    finally:
        await connection.close()


if __name__ == "__main__":
    main()
