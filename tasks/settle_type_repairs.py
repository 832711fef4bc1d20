"""Settle repairs of content types that were interrupted: give the owners back."""

from __future__ import annotations

import time

from prefect import get_run_logger, task

from media_enricher.orchestration.type_repair_run import TypeRepairRun
from media_enricher.settings import settings


@task(name="settle-type-repairs", task_run_name="settle", persist_result=False)
def settle_type_repairs(run: TypeRepairRun) -> None:
    """End the repairs that are under way now, once they are old enough to be interrupted.

    A request of a run that was killed may still be carried out by Storage. So this waits until it
    is as old as the silence after which a run counts as dead; those of a run that is alive end by
    themselves meanwhile.

    Raises:
        SnapshotError: their Parquet part cannot be written.
        SupabaseError: Supabase does not respond.
    """
    silence = settings().dead_after_seconds
    to_do = {each.id for each in run.repairs.unsettled(run.prefix)}
    if to_do:
        get_run_logger().info(
            "%s repairs are under way or were interrupted; waiting up to %.0f s",
            f"{len(to_do):,}",
            silence,
        )
    while to_do:
        waiting = [each for each in run.repairs.unsettled(run.prefix) if each.id in to_do]
        to_do = {each.id for each in waiting if each.age_seconds < silence}
        for each in waiting:
            if each.id not in to_do:
                run.stats.settle(each.id, run.repairs.settle(each.id))
        if to_do:
            oldest = max(each.age_seconds for each in waiting if each.id in to_do)
            time.sleep(min(1.0, silence - oldest))
    run.write_parts()
