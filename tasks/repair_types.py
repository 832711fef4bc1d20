"""Give objects the content type that their bytes have."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from prefect import get_run_logger, task

from media_enricher.declared_types import WRITABLE
from media_enricher.models import ErrorCode
from media_enricher.orchestration.type_repair_run import TypeRepairRun
from media_enricher.repair_stats import Repair
from media_enricher.supabase.errors import SupabaseError
from media_enricher.supabase.retrying import patience
from media_enricher.type_repairs import RepairOutcome

AT_ONCE = 8
"""Repairs under way. Each is three requests, most of whose time is waiting."""
_CHUNK = 4 * AT_ONCE
_PATIENCE_SECONDS = 60.0
"""After which one repair is given up, and left to be settled."""
_FAILURES_IN_A_ROW = 20
"""After so many, it is Storage that fails, and not the objects."""


class RepairsRefusedError(Exception):
    """Storage does not do what a repair needs, so the run stops."""


def planned_repairs(run: TypeRepairRun) -> Iterator[list[Repair]]:
    """Yield the objects to repair, in the order of their paths, a page at a time.

    Raises:
        SupabaseError: Supabase does not respond.
    """
    allowed = run.bucket.allowed_types()
    for page in run.repairs.mistyped_pages(run.prefix, WRITABLE):
        yield run.stats.plan(page, allowed=allowed, limit=run.limit)
        if run.limit is not None and run.stats.planned.total() >= run.limit:
            return


@task(name="repair-types", task_run_name="repair", persist_result=False)
def repair_types(run: TypeRepairRun, page: list[Repair]) -> None:
    """Repair a page of objects, several at a time, and write its Parquet part.

    Raises:
        RepairsRefusedError: Storage refuses all, or serves the old type as before.
        SnapshotError: the Parquet part cannot be written.
        SupabaseError: the database does not respond.
    """
    errors: list[str] = []  # since the last object that went well
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="repair")
    try:
        for start in range(0, len(page), _CHUNK):
            chunk = page[start : start + _CHUNK]
            for repair, done in zip(chunk, pool.map(partial(_repair, run), chunk), strict=True):
                if isinstance(done.outcome, RepairOutcome):
                    run.stats.outcomes[done.outcome] += 1
                else:
                    run.stats.unsettled.add(done.outcome)
                errors = [*errors, done.error] if done.error else []
                if done.outcome is RepairOutcome.REPAIRED and not run.is_verified:
                    _verify(run, repair)
            if len(errors) >= _FAILURES_IN_A_ROW:
                raise RepairsRefusedError(
                    f"Storage failed {len(errors)} repairs in a row, so the run stops. "
                    f"The last: {errors[-1]}"
                )
    finally:
        pool.shutdown(cancel_futures=True)  # those under way end in order
        run.write_parts()
    get_run_logger().info("%s", run.summary())


class _Done(NamedTuple):
    """What became of one repair.

    Attributes:
        outcome: how it ended; or its id, if Storage may have made the copy, or may still make it.
        error: why it did not end well.
    """

    outcome: RepairOutcome | str
    error: str | None = None


def _repair(run: TypeRepairRun, repair: Repair) -> _Done:
    """Repair one object: note what it has, copy it, give back what the copy dropped."""
    run.pacer.wait()
    path = repair.mistyped.path
    with patience(_PATIENCE_SECONDS):
        started = run.repairs.start(
            repair.mistyped, repair.to_type, run_id=run.id, requested_by=run.requested_by
        )
        if started is None:
            return _Done(RepairOutcome.CHANGED)
        try:
            version = run.bucket.copy_onto_itself(
                path,
                repair.to_type,
                cache_control=started.cache_control,
                user_metadata=started.user_metadata,
            )
        except SupabaseError as error:
            said = f"{path}: {error}"
            if error.is_transient:
                return _Done(started.id, said)
            return _Done(run.repairs.settle(started.id, error=str(error)), said)
        return _Done(run.repairs.settle(started.id, version=version))


def _verify(run: TypeRepairRun, repair: Repair) -> None:
    """Look at a repaired object as a browser does: what its row says is not what counts."""
    path = repair.mistyped.path
    try:
        served = run.bucket.served_type(path) or "no content type"
    except SupabaseError as error:
        if error.code is ErrorCode.NOT_FOUND:  # deleted meanwhile: the next one is looked at
            return
        raise
    if served.partition(";")[0].strip().lower() != repair.to_type:
        raise RepairsRefusedError(
            f"Storage still serves {path!r} as {served}, though it was copied as "
            f"{repair.to_type}. Its version may be too old to change content types: upgrade it"
        )
    run.is_verified = True
