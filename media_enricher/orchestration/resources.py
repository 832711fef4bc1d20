"""The objects that the steps of a run share in one process, created here at first use."""

from __future__ import annotations

import threading
from functools import lru_cache

from supabase import Client

from media_enricher.engine import EngineOptions, EnrichPool, sandbox
from media_enricher.engine.garbage import collect_as_usual, collect_seldom
from media_enricher.metrics import Metrics
from media_enricher.settings import TaskRunnerName, settings, supabase_settings
from media_enricher.supabase.assets import AssetTable
from media_enricher.supabase.bucket import Bucket
from media_enricher.supabase.client import connect
from media_enricher.supabase.ledgers import SnapshotLedger
from media_enricher.supabase.requested_objects import RequestedObjects
from media_enricher.supabase.requests import RunRequests
from media_enricher.supabase.runs import RunTable
from media_enricher.supabase.type_repairs import TypeRepairs

_IDLE_SECONDS = 5.0
_connecting = threading.RLock()
_opening_engine = (
    threading.RLock()
)  # a signal handler may close the engine while this thread opens it


def supabase() -> Client:
    """The process's one client of the Supabase project."""
    with _connecting:  # a run's first threads ask at once, and each would get a client of its own
        return _supabase()


@lru_cache
def _supabase() -> Client:
    return connect(supabase_settings())


def asset_table() -> AssetTable:
    """The table of assets, and the planning of pending objects."""
    return AssetTable(supabase())


def run_table() -> RunTable:
    """The table of runs."""
    return RunTable(supabase())


@lru_cache
def metrics() -> Metrics:
    """The process's metrics; they are also sent when the process ends."""
    return Metrics()


def snapshot_ledger() -> SnapshotLedger:
    """The record of which parts of snapshots are recorded."""
    return SnapshotLedger(supabase())


def run_requests() -> RunRequests:
    """The requests to start runs."""
    return RunRequests(supabase())


def requested_objects(bucket: str, prefix: str) -> RequestedObjects:
    """The single objects that were requested."""
    return RequestedObjects(supabase(), bucket, prefix)


def type_repairs(bucket: str) -> TypeRepairs:
    """The repairs of content types in one bucket."""
    return TypeRepairs(supabase(), bucket)


def bucket(name: str) -> Bucket:
    """One Storage bucket."""
    return Bucket(supabase(), name)


@lru_cache
def engine_options() -> EngineOptions:
    """How this process downloads and decodes.

    Under threads, all task runs share one set of engine workers. Under the other runners, each
    process that runs tasks has one engine worker: a process more, so that an object that kills its
    decoder costs one row. Each has its share of the memory and of the rate of downloads.
    """
    configured = settings()
    if configured.task_runner is not TaskRunnerName.THREADS:
        share = max(16, configured.memory_mb // configured.engine_workers)
        rate = configured.max_mbit_per_second
        configured = configured.model_copy(
            update={
                "engine_workers": 1,
                "memory_mb": share,
                "max_mbit_per_second": rate and rate / configured.engine_workers,
            }
        )
    return EngineOptions.from_settings(configured, supabase_settings())


def engine() -> EnrichPool:
    """The process's engine; its workers start at the first use, closed by `close_engine`."""
    with _opening_engine:
        return _engine()


def close_engine() -> None:
    """Stop the engine at once. Callers that wait get `PoolClosed`. Harmless when not open."""
    if _engine.cache_info().currsize:
        engine().close()
        _engine.cache_clear()
        collect_as_usual()


@lru_cache
def _engine() -> EnrichPool:
    sandbox.hide_from_others()  # this process holds the key, and its decoders read untrusted files
    collect_seldom()
    # A worker of a cluster outlives the run, and is not notified when the run ends.
    return EnrichPool(
        engine_options(), idle_seconds=_IDLE_SECONDS if settings().is_in_cluster else None
    )


def forget() -> None:
    """Close and drop everything, so that the next use reads the settings again."""
    close_engine()
    engine_options.cache_clear()
    _supabase.cache_clear()
