"""Clean up the snapshots of all runs, as a task of the sweep."""

from __future__ import annotations

from prefect import task

from media_enricher.orchestration.settling import settle_snapshots


@task(name="settle", task_run_name="settle", persist_result=False)
def settle() -> list[str]:
    """Delete snapshot parts that were never recorded, see `settle_snapshots`.

    Returns:
        No sentences: users never see a part that was not recorded.

    Raises:
        SupabaseError: the database did not respond.
    """
    settle_snapshots()
    return []
