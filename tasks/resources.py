"""What the steps of a run share in one process, wired in this one place, made at first use."""

from __future__ import annotations

from functools import lru_cache

from supabase import Client

from media_enricher.enrich import EngineOptions, EnrichPool
from media_enricher.settings import TaskRunnerName, settings, supabase_settings
from media_enricher.supabase.assets import AssetTable
from media_enricher.supabase.bucket import Bucket
from media_enricher.supabase.client import connect
from media_enricher.supabase.runs import RunTable


@lru_cache
def supabase() -> Client:
    """The process's one client of the Supabase project."""
    return connect(supabase_settings())


def asset_table() -> AssetTable:
    """The table of assets and the planning of what is missing from it."""
    return AssetTable(supabase())


def run_table() -> RunTable:
    """The table of runs."""
    return RunTable(supabase())


def bucket(name: str) -> Bucket:
    """One Storage bucket."""
    return Bucket(supabase(), name)


@lru_cache
def engine_options() -> EngineOptions:
    """How this process downloads and decodes.

    Under the process runner every task run is in a process of its own already, so the work is done
    there; under threads all task runs share one set of lane processes.
    """
    ours = settings()
    if ours.task_runner is TaskRunnerName.PROCESSES:
        ours = ours.model_copy(
            update={"lanes": 0, "memory_mb": max(16, ours.memory_mb // ours.lanes)}
        )
    return EngineOptions.from_settings(ours, supabase_settings())


@lru_cache
def engine() -> EnrichPool:
    """The process's lanes; started at the first use, closed by `close_engine`."""
    return EnrichPool(engine_options())


def close_engine() -> None:
    """Stop the lanes at once; whoever waits for them gets `PoolClosed`. Harmless when not open."""
    if engine.cache_info().currsize:
        engine().close()
        engine.cache_clear()


def forget() -> None:
    """Close and drop everything, so that the next use follows the settings as they are then."""
    close_engine()
    engine_options.cache_clear()
    supabase.cache_clear()
