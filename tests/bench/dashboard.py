"""`make bench-dashboard`: how long the dashboard and the assets view ask the database.

The assets are rows without bytes, in one bucket and of a hundred tenants. Times are those of whole
answers through a connection to Postgres on this machine, the median and the longest of some.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from uuid import UUID

import asyncpg

from media_enricher import migrations
from supabase_local.postgres import SUPERUSER, running_postgres

BUCKET = "bench-dashboard"
PIECE = 50_000
_FILL_OBJECTS = """
    insert into storage.objects (bucket_id, name, metadata, version)
    select $1, to_char(n / 1000, 'FM0000') || '/IMG_' || to_char(n, 'FM0000000') || '.jpg',
      jsonb_build_object('eTag', '"' || md5(n::text) || '"', 'size', n, 'mimetype', 'image/jpeg'),
      'v'
    from generate_series($2::integer, $3::integer) as n
"""
_FILL_ASSETS = """
    insert into public.media_assets
      (bucket, path, object_id, etag, declared_content_type, status, error_code, depth,
       enricher_version, kind, size_bytes, sha256, phash, labels, tags, title, has_location,
       alt_text, dominant_color, blurhash, exif, tenant_id)
    select bucket_id, name, id, metadata ->> 'eTag', 'image/jpeg',
      case when n % 200 = 0 then 'failed' else 'enriched' end,
      case when n % 200 = 0 then 'corrupt' end, 'full', 1,
      case when n % 1000 = 1 then 'audio' when n % 50 = 2 then 'video' else 'image' end, n,
      -- one in fifty is a copy of another
      encode(sha256((case when n % 50 = 0 then n - 1 else n end)::text::bytea), 'hex'),
      substr(md5(n::text), 1, 16),
      array[(array['landscape', 'portrait', 'square', 'screenshot'])[1 + n % 4]],
      case when n % 10 = 0 then array['holiday', 'tag' || n % 5000] end,
      case when n % 10 = 0 then 'Sunset over bay ' || n % 700 end, n % 25 = 0,
      case when n % 3 = 0 then 'a picture' end, '#' || substr(md5(n::text), 1, 6),
      'LEHV6nWB2yk8pyo0adR*.7kCMdnj', jsonb_build_object('Make', repeat('x', 200)),
      case when n % 2 = 0
        then ('00000000-0000-4000-8000-' || lpad((n % 100)::text, 12, '0'))::uuid end
    from storage.objects cross join lateral (select (metadata ->> 'size')::integer as n) as numbered
    where bucket_id = $1 and name > $2 and name <= $3
"""
_SEARCHES = {
    "first page": "",
    "a common word": ", words => 'img'",
    "a rare word": ", words => '0777777'",
    "a tag and a word": ", words => 'tag70 sunset'",
    "a word that is nowhere": ", words => 'zzzz'",
    "a kind of few": ", kind => 'audio'",
    "failed": ", status => 'failed'",
    "a label": ", label => 'screenshot'",
    "a color and a kind": ", color => 'brown', kind => 'video'",
    "with a location": ", is_located => true",
    "no alternative text": ", lacks_alt_text => true",
    "copies": ", is_copied => true",
}
QUESTIONS = {
    "dashboard": "select * from public.media_dashboard()",
    "dashboard of a tenant": "select * from public.media_dashboard($1)",
    **{
        f"search: {name}": f"select * from public.media_search(bucket => '{BUCKET}'{filters})"
        for name, filters in _SEARCHES.items()
    },
    "similar": (
        "select * from public.similar_media((select id from public.media_assets"
        f" where bucket = '{BUCKET}' and path = '0777/IMG_0777777.jpg'))"
    ),
    "sweep: count missing": (
        f"select * from public.media_count_missing('{BUCKET}', 'full', 1, array['network'], 3)"
    ),
    "repair: count anew": f"select public.media_recount('{BUCKET}')",
}
TENANT = UUID("00000000-0000-4000-8000-000000000042")
"""One of the hundred."""


def main() -> None:
    """Fill a bucket, ask each question, and print how long the answers took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=1_000_000, help="in the bucket")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_postgres(Path(folder) / "postgres") as server,
    ):
        migrations.apply(server.url())
        asyncio.run(_measure(server.url(), server.url(SUPERUSER), asked.objects, asked.rounds))


async def _measure(url: str, owner_url: str, objects: int, rounds: int) -> None:
    connection = await asyncpg.connect(url, command_timeout=600)
    filled_in = await _fill(connection, objects)
    owner = await asyncpg.connect(owner_url, command_timeout=600)
    for table in ("storage.objects", "public.media_assets", "media_enricher.contents"):
        await owner.execute(f"vacuum analyze {table}")  # as autovacuum leaves them sooner or later
    await owner.close()
    sys.stdout.write(f"{objects:,} assets, filled in {filled_in:.0f} s\n")
    for name, sql in QUESTIONS.items():
        times = [await _timed(connection, sql) for _ in range(1 if "count" in name else rounds)]
        sys.stdout.write(f"{name:32} {median(times) * 1000:8.1f} ms {max(times) * 1000:8.1f} ms\n")
        sys.stdout.flush()
    await connection.close()


async def _fill(connection: asyncpg.Connection[Any], objects: int) -> float:
    began = perf_counter()
    await connection.execute("insert into storage.buckets (id, name) values ($1, $1)", BUCKET)
    for first in range(1, objects + 1, PIECE):
        last = min(first + PIECE - 1, objects)
        await connection.execute(_FILL_OBJECTS, BUCKET, first, last)
        await connection.execute(_FILL_ASSETS, BUCKET, _path(first - 1), _path(last))
    return perf_counter() - began


def _path(number: int) -> str:
    return f"{number // 1000:04}/IMG_{number:07}.jpg"


async def _timed(connection: asyncpg.Connection[Any], sql: str) -> float:
    """Ask, with the arguments that the question has."""
    arguments = [TENANT] if "$1" in sql else []
    began = perf_counter()
    await connection.fetch(sql, *arguments)
    return perf_counter() - began


if __name__ == "__main__":
    main()
