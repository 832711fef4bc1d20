"""Settling the snapshots of all runs, as a task of the sweep."""

from __future__ import annotations

from prefect import task

from media_enricher.orchestration.settling import settle_snapshots


@task(name="settle", task_run_name="settle", persist_result=False)
def settle() -> list[str]:
    """Settle the snapshots of all runs, see `settle_snapshots`.

    Returns:
        Nothing: a part that was never recorded is none of anybody's business.

    Raises:
        SupabaseError: the database did not answer.
    """
    settle_snapshots()
    return []
