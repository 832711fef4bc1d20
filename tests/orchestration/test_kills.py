"""A run killed at any step of a write, and at any moment: in the end three accounts are one.

What rows of `media_assets` say, what the snapshot says and what the run's counters say is compared
after each kill and one clean run, or sweep, or another attempt at the same run.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import random
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from uuid import uuid4

import asyncpg
import msgspec
import pytest
from prefect.logging import disable_run_logger

from media_enricher.models import EnrichRun, RunStatus, Selection
from media_enricher.orchestration import resources
from media_enricher.orchestration.run import Run
from media_enricher.orchestration.settling import settle_snapshots
from media_enricher.settings import settings
from media_enricher.snapshot.reader import open_snapshot
from media_enricher.snapshot.targets import SnapshotError
from supabase_local import LocalStack
from tests.orchestration.killed_writer import Death, Step, record_pending, write_and_die
from tests.waiting import wait_for

ROUNDS = 100
ROUNDS_INTO_A_BUCKET = 30  # each step with each remedy
OBJECTS = 36
WRITES = 4
LONGEST_WRITE_SECONDS = 0.06


class Remedy(StrEnum):
    """What comes after a kill."""

    NEXT_RUN = "the next run on the bucket"
    NEXT_RUN_AT_ONCE = "the next run on the bucket, and nobody has noticed the kill yet"
    SWEEP = "the sweep"
    SWEEP_AT_ONCE = "the sweep, and nobody has noticed the kill yet"
    RETRY = "Prefect's next attempt at the same run"


class Round:
    """A folder of objects, and the runs that work on it."""

    def __init__(self, number: int, bucket: str, environment: dict[str, str]) -> None:
        self._environment = environment
        self._selection = Selection(bucket=bucket, prefix=f"round-{number:03}/")
        self._killed = str(uuid4())
        self._runs = [self._killed]

    def kill(self, death: Death, *, is_noticed: bool) -> None:
        """Have a process begin the run and die; otherwise its row says that it is running."""
        self._begin(self._killed)
        context = multiprocessing.get_context("forkserver")
        writer = context.Process(
            target=write_and_die,
            args=(
                *(self._environment, self._killed, msgspec.json.encode(self._selection)),
                death,
            ),
        )
        writer.start()
        writer.join()
        assert writer.exitcode is not None
        assert writer.exitcode <= 0, "the writer failed, and did not die"
        if writer.exitcode == 0:
            assert death.step is Step.AT_RANDOM, "the writer did not die"
        if is_noticed:
            resources.run_table().record(self._killed, status=RunStatus.CRASHED)

    def mend(self, remedy: Remedy) -> None:
        """What comes after the kill."""
        if remedy in {Remedy.SWEEP, Remedy.SWEEP_AT_ONCE}:
            settle_snapshots()
            self.check()
        run_id = self._killed if remedy is Remedy.RETRY else str(uuid4())
        self._runs = list({self._killed, run_id})
        self._begin(run_id)
        record_pending(Run(run_id, self._selection))
        resources.run_table().record(run_id, status=RunStatus.COMPLETED)

    def _begin(self, run_id: str) -> None:
        resources.run_table().record(
            run_id, bucket=self._selection.bucket, status=RunStatus.RUNNING, restart=True
        )

    def check(self, *, is_done: bool = False) -> None:
        """The three accounts of each run are one."""
        everything: Counter[str] = Counter()
        for run_id in self._runs:
            run = resources.run_table().get(run_id)
            assert run is not None
            rows = {
                row["path"]: row["status"]
                for row in resources.asset_table().of_run(run_id, ["path", "status"], limit=1000)
            }
            status = _snapshot(run)
            assert rows == status
            ended = Counter(rows.values())
            assert (run.succeeded, run.failed, run.skipped) == (
                *(ended["enriched"], ended["failed"], ended["unsupported"]),
            )
            assert run.bytes_read == 7 * len(rows)
            everything.update(list(status))
        assert set(everything.values()) <= {1}, "an object is in the snapshots of two runs"
        if is_done:
            assert everything.total() == OBJECTS


def _snapshot(run: EnrichRun) -> dict[str, str]:
    """How each object ended, as the snapshot has it, in one of its parts."""
    try:
        parts = open_snapshot(run.snapshot_path or "", resources.bucket).parts
    except SnapshotError:
        return {}
    tables = [open_snapshot(part, resources.bucket).table for part in parts]
    ended = {
        path: status
        for table in tables
        for path, status in zip(table["path"].to_pylist(), table["status"].to_pylist(), strict=True)
    }
    assert len(ended) == sum(len(table) for table in tables), "an object is in two parts"
    return ended


@pytest.fixture
def bucket(
    migrated_stack: LocalStack, make_bucket: Callable[[], str], supabase_environment: object
) -> str:
    """One with objects for all rounds, without bytes."""

    async def fill(name: str) -> None:
        connection = await asyncpg.connect(migrated_stack.database_url)
        await connection.execute(
            """
            insert into storage.objects (bucket_id, name, metadata, version)
            select $1, format('round-%s/%s-%s.jpg', to_char(round, 'FM000'), to_char(n, 'FM000'),
                (array['good', 'good', 'bad', 'odd'])[n % 4 + 1]),
              jsonb_build_object('eTag', '"' || md5(n::text) || '"', 'size', n,
                'mimetype', 'image/jpeg'), 'v'
            from generate_series(1, $2) as round, generate_series(1, $3) as n
            """,
            *(name, ROUNDS, OBJECTS),
        )
        await connection.close()

    name = make_bucket()
    asyncio.run(fill(name))
    return name


def wait_for_what_it_asked(stack: LocalStack) -> None:
    """Wait until the database has done what a dead process had asked of it.

    It may ask and be killed before it hears. What comes after the kill would meet a transaction
    that is under way, and the accounts agree only after the sweep that follows.
    """
    quiet_looks = 0

    def is_quiet() -> bool:
        nonlocal quiet_looks
        quiet_looks = 0 if asyncio.run(_recording(stack)) else quiet_looks + 1
        return quiet_looks == 5

    wait_for(is_quiet, "the database still records")


async def _recording(stack: LocalStack) -> bool:
    connection = await asyncpg.connect(stack.database_url)
    try:
        return bool(
            await connection.fetchval(
                "select count(*) from pg_stat_activity where state <> 'idle'"
                " and query like '%media_record_part%' and pid <> pg_backend_pid()"
            )
        )
    finally:
        await connection.close()


@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_rows_snapshot_and_counters_agree_after_any_kill(
    place: str,
    bucket: str,
    migrated_stack: LocalStack,
    supabase_environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    snapshots = str(tmp_path) if place == "folder" else f"bucket:{bucket}-snapshots"
    monkeypatch.setenv("MEDIA_ENRICHER_SNAPSHOT", snapshots)
    settings.cache_clear()
    environment = {**supabase_environment, "MEDIA_ENRICHER_SNAPSHOT": snapshots}
    multiprocessing.get_context("forkserver").set_forkserver_preload(
        ["tests.orchestration.killed_writer"]
    )
    chance = random.Random(place)
    steps = [step for step in Step if place == "folder" or step is not Step.HALF_A_FILE]
    ways = itertools.cycle(itertools.product(Remedy, steps))

    with disable_run_logger():
        for number in range(1, 1 + (ROUNDS if place == "folder" else ROUNDS_INTO_A_BUCKET)):
            remedy, step = next(ways)
            seconds = chance.uniform(0.0005, LONGEST_WRITE_SECONDS)
            each = Round(number, bucket, environment)
            each.kill(
                Death(step, chance.randrange(WRITES), seconds),
                is_noticed=remedy not in {Remedy.NEXT_RUN_AT_ONCE, Remedy.SWEEP_AT_ONCE},
            )
            if step is Step.AT_RANDOM:
                wait_for_what_it_asked(migrated_stack)
            each.mend(remedy)
            each.check(is_done=True)
