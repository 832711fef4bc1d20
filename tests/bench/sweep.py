"""`make bench-sweep`: what a sweep costs that finds nothing to do, in buckets of several sizes.

The bucket's objects are rows without bytes, each with its asset; the same bucket grows from size to
size. The other questions whose statements could grow with the bucket follow: its facets, its totals
counted anew, and of two buckets of a tenth of the size, one that was emptied and one with nothing
enriched, what was deleted and what is pending. Then what is pending by tenant is compared and
stored, in buckets where each object has a tenant of its own (`--tenants`): once, and once more with
half of the objects deleted.

All servers run on this machine. Database time is what Postgres itself logs of each statement, so it
counts every statement, and nothing of the way to it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from time import perf_counter, sleep

import asyncpg
import msgspec

from flows.sweep import sweep
from media_enricher import change_feed, migrations
from media_enricher.comparisons import ComparisonStep
from media_enricher.models import Mode, Selection
from media_enricher.orchestration import resources
from media_enricher.orchestration.comparing import compare_whole
from supabase_local import LocalStack
from supabase_local.postgres import SUPERUSER
from tests.prefect_here import prefect_here

BUCKET = "bench-sweep"
_STEP = 500_000
_PREPARE = """
    -- Only what planning rides on: the other indexes cost most of the time it takes to fill them.
    drop index storage.bucketid_objname, storage.idx_objects_bucket_id_name_lower,
      storage.name_prefix_search, public.media_assets_search_idx
"""
_FILL_OBJECTS = """
    set session_replication_role = replica;
    insert into storage.objects (bucket_id, name, metadata, version)
    select '{bucket}', {name},
      jsonb_build_object('eTag', '"' || md5(n::text) || '"', 'size', n, 'mimetype', 'image/jpeg'),
      'v'
    from generate_series({first}, {last}) as n;
    set session_replication_role = origin;
"""
_FILL_ASSETS = """
    set session_replication_role = replica;
    insert into public.media_assets
      (bucket, path, object_id, etag, declared_content_type, size_bytes, status, depth,
       enricher_version, kind, format, labels, sha256)
    select bucket_id, name, id, metadata ->> 'eTag', 'image/jpeg', size, 'enriched', 'full', 1,
      case size % 10 when 0 then 'video' else 'image' end,
      (array['jpeg', 'png', 'webp', 'heic', 'mp4'])[1 + size % 5],
      case size % 3 when 0 then array['landscape'] when 1 then array['portrait', 'transparent'] end,
      md5(size::text) || md5(name)
    from (
      select o.*, (o.metadata ->> 'size')::bigint as size from storage.objects o
      where o.bucket_id = '{bucket}'
        and o.name collate "C" between '{first_name}' and '{last_name}'
    ) o;
    set session_replication_role = origin;
"""
_EMPTY = """
    set session_replication_role = replica;
    set storage.allow_delete_query = 'true';
    delete from storage.objects where bucket_id = '{bucket}';
    set session_replication_role = origin;
"""
_FILL_TENANTS = """
    set session_replication_role = replica;
    insert into storage.objects (bucket_id, name, metadata, version)
    select '{bucket}', md5(n::text)::uuid || '/photo.jpg',
      jsonb_build_object('eTag', '"e"', 'size', n, 'mimetype', 'image/jpeg'), 'v'
    from generate_series(1, {tenants}) as n;
    set session_replication_role = origin;
"""
_HALVE = """
    set session_replication_role = replica;
    set storage.allow_delete_query = 'true';
    delete from storage.objects
    where bucket_id = '{bucket}' and (metadata ->> 'size')::integer % 2 = 0;
    set session_replication_role = origin;
"""
_NAME = "to_char({n} / 1000, 'FM000000') || '/IMG_' || to_char({n}, 'FM00000000') || '.jpg'"
_DURATION = re.compile(r"duration: ([\d.]+) ms  (?:\w+ [^:]*|statement): (.*)")


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What something cost the database.

    Attributes:
        what: was measured.
        objects: in the bucket.
        seconds: until it was done, as its caller saw it.
        database_ms: of all statements together.
        statements: how many there were.
        slowest_ms: of the slowest statement.
        slowest: the function that it called.
    """

    what: str
    objects: int
    seconds: float
    database_ms: float
    statements: int
    slowest_ms: float
    slowest: str


class Bench:
    """A stack with one bucket of rows, whose statements are logged."""

    def __init__(self, stack: LocalStack) -> None:
        self.objects = 0
        self.superuser_url = stack.database_url.replace("//postgres", f"//{SUPERUSER}", 1)
        self.database_url = stack.database_url
        (self._log,) = stack.folder.rglob("postgres.log")

    def execute(self, script: str) -> None:
        """Run statements as the superuser, in one transaction."""

        async def work() -> None:
            connection = await asyncpg.connect(self.superuser_url)
            try:
                await connection.execute(script)
            finally:
                await connection.close()

        asyncio.run(work())

    def grow(self, objects: int) -> None:
        """Fill the bucket up to so many objects, and leave the tables as autovacuum would."""
        while self.objects < objects:
            first, last = self.objects + 1, min(objects, self.objects + _STEP)
            self.fill(BUCKET, first, last)
            self.objects = last
        self.settle()

    def fill(self, bucket: str, first: int, last: int, *, is_enriched: bool = True) -> None:
        """Add objects, with their assets if they are enriched."""
        filling = _FILL_OBJECTS + (_FILL_ASSETS if is_enriched else "")
        self.execute(
            filling.format(
                bucket=bucket,
                name=_NAME.format(n="n"),
                first=first,
                last=last,
                first_name=path_of(first),
                last_name=path_of(last),
            )
        )

    def settle(self) -> None:
        """Leave the tables as autovacuum would."""
        for table in ("storage.objects", "public.media_assets"):
            self.execute(f"vacuum analyze {table}")
        self.execute("checkpoint")

    def measure(self, what: str, work: Callable[[], object], rounds: int = 1) -> Measured:
        """Do something so many times; the round that took the database the median time."""
        measured = sorted(
            (self._once(what, work) for _ in range(rounds)), key=lambda each: each.database_ms
        )
        return measured[len(measured) // 2]

    def _once(self, what: str, work: Callable[[], object]) -> Measured:
        with self._logged() as statements:
            began = perf_counter()
            work()
            seconds = perf_counter() - began
        slowest_ms, slowest = max(statements, default=(0.0, ""))
        name = re.search(r"media_\w+", slowest.replace("media_enricher", ""))
        return Measured(
            what=what,
            objects=self.objects,
            seconds=seconds,
            database_ms=sum(ms for ms, _ in statements),
            statements=len(statements),
            slowest_ms=slowest_ms,
            slowest=name[0] if name else slowest[:40],
        )

    @contextmanager
    def _logged(self) -> Iterator[list[tuple[float, str]]]:
        """The milliseconds and the text of each statement within the block."""
        before = self._log.stat().st_size
        statements: list[tuple[float, str]] = []
        yield statements
        sleep(0.2)  # the last lines may still be on their way to the file
        with self._log.open("rb") as log:
            log.seek(before)
            text = log.read().decode(errors="replace")
        statements += [(float(ms), said) for ms, said in _DURATION.findall(text)]


def path_of(number: int) -> str:
    """The path of an object, as `_NAME` makes it."""
    return f"{number // 1000:06}/IMG_{number:08}.jpg"


def main() -> None:
    """Measure, and print a line for each size and way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, nargs="*", default=[1_000_000], help="in the bucket")
    parser.add_argument(
        "--tenants", type=int, nargs="*", default=[100_000], help="in a bucket each"
    )
    parser.add_argument("--rounds", type=int, default=5, help="of all but the whole comparison")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    asked = parser.parse_args()
    measured: list[Measured] = []

    def say(them: Iterable[Measured]) -> None:
        for each in them:
            measured.append(each)
            sys.stdout.write(line(each) + "\n")
            sys.stdout.flush()

    with (
        tempfile.TemporaryDirectory() as folder,
        LocalStack.start(Path(folder) / "stack") as stack,
        prefect_here(Path(folder) / "prefect"),
    ):
        migrations.apply(stack.database_url)
        os.environ.update(stack.environment())
        resources.bucket(BUCKET).create_private()
        bench = Bench(stack)
        bench.execute(_PREPARE)
        bench.execute("alter system set log_min_duration_statement = 0")
        bench.execute("select pg_reload_conf()")
        for objects in sorted(asked.objects):
            bench.grow(objects)
            say(chain(measurements(bench, asked.rounds), of_all(bench), changed(bench)))
        for tenants in sorted(asked.tenants):
            say(by_tenant(bench, tenants))
    if asked.json:
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(measured)))


def measurements(bench: Bench, rounds: int) -> Iterator[Measured]:
    """A sweep in each way, and a page of planning wherever it begins."""
    change_feed.turn_off(bench.database_url)
    bench.execute("delete from media_enricher.comparisons")
    yield bench.measure("sweep, whole comparison", swept)
    yield bench.measure("sweep, a part", swept, rounds)

    change_feed.turn_on(bench.database_url, [BUCKET], [])
    bench.execute(
        "update media_enricher.watched_buckets set watched_since = now() - interval '1 hour'"
    )
    compare_whole(BUCKET)
    yield bench.measure("sweep, change feed", swept, rounds)

    for where, share in (("start", 0.0), ("middle", 0.5), ("end", 0.99)):
        after = path_of(int(bench.objects * share))
        yield bench.measure(f"page of 1,000 at the {where}", page_after(after), rounds)


def of_all(bench: Bench) -> Iterator[Measured]:
    """What counts all that is known of the bucket."""
    middle = path_of(bench.objects // 2)
    yield bench.measure("facets, in one", lambda: rpc("media_facets", bucket=BUCKET))
    yield bench.measure(
        "facets, a page", lambda: rpc("media_facets_page", bucket=BUCKET, after=middle)
    )
    yield bench.measure("recount", lambda: list(resources.asset_table().recount(BUCKET)))


def changed(bench: Bench) -> Iterator[Measured]:
    """What is asked of buckets where everything was deleted, and where nothing is enriched yet."""
    emptied, pending = (f"bench-{what}-{bench.objects}" for what in ("emptied", "pending"))
    tenth = max(1, bench.objects // 10)
    for bucket in (emptied, pending):
        resources.bucket(bucket).create_private()
        bench.fill(bucket, 1, tenth, is_enriched=bucket == emptied)
    bench.execute(_EMPTY.format(bucket=emptied))
    bench.settle()

    yield bench.measure("a tenth, all deleted", lambda: compare_whole(emptied))
    yield bench.measure("a tenth, all pending", lambda: compare_whole(pending))
    selection = Selection(bucket=pending)
    table = resources.asset_table()
    yield bench.measure("count for a dry run", lambda: table.count_pending(selection))
    yield bench.measure("split in 8", lambda: table.split_pending(selection, 8))
    yield bench.measure("page of 1,000, pending", lambda: next(table.pending_pages(selection)))


def by_tenant(bench: Bench, tenants: int) -> Iterator[Measured]:
    """What it costs to compare and to store what is pending, if each object has its own tenant."""
    bucket, bench.objects = f"bench-tenants-{tenants}", tenants
    resources.bucket(bucket).create_private()
    bench.execute(_FILL_TENANTS.format(bucket=bucket, tenants=tenants))
    table = resources.asset_table()
    for which in ("", "half, "):
        bench.settle()
        step: ComparisonStep | None = None

        def compare() -> None:
            nonlocal step
            while not step or not step.is_compared:
                step = table.compare_next_piece(bucket, step.number if step else None)

        def store() -> None:
            nonlocal step
            while step and not step.is_complete:
                step = table.compare_next_piece(bucket, step.number)

        yield bench.measure(f"{which}by tenant, compared", compare)
        yield bench.measure(f"{which}by tenant, stored", store)
        bench.execute(_HALVE.format(bucket=bucket))


def rpc(function: str, **arguments: str) -> None:
    """Call a function of the database as a backend does."""
    resources.supabase().rpc(function, arguments).execute()


def swept() -> None:
    """Sweep; it must find nothing to do."""
    state = sweep([BUCKET], return_state=True)
    if state.message != "Nothing to do":
        raise AssertionError(f"the sweep says: {state.message}")


def page_after(path: str) -> Callable[[], object]:
    """A page of planning that begins after a path."""
    selection = Selection(bucket=BUCKET, mode=Mode.ALL, after=path)
    return lambda: next(resources.asset_table().pending_pages(selection))


def line(each: Measured) -> str:
    """A line of the table."""
    return (
        f"{each.objects:>11,} objects  {each.what:<26} {each.seconds:8.2f} s"
        f"  database {each.database_ms:9,.1f} ms in {each.statements:>4} statements"
        f"  slowest {each.slowest_ms:8,.1f} ms ({each.slowest})"
    )


if __name__ == "__main__":
    main()
