from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from media_enricher.engine import EngineOptions, EnrichPool
from media_enricher.models import StorageObject
from media_enricher.probe import ProbeOptions
from tests.engine.faulty_storage import FaultyStorage, etag_of

POISON = Path(__file__).parent / "poison"


def png(width: int, height: int = 10, color: str = "red") -> bytes:
    """A small real image, recognisable by its width."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), color).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def storage_server() -> Iterator[FaultyStorage]:
    """One for all tests, so that a pool may serve several of them: see `storage`."""
    with FaultyStorage() as server:
        yield server


@pytest.fixture
def storage(storage_server: FaultyStorage) -> FaultyStorage:
    """The server, empty and well."""
    storage_server.forget()
    return storage_server


Put = Callable[..., StorageObject]


@pytest.fixture
def put(storage: FaultyStorage) -> Put:
    """Store bytes under a path, and list them as planning would."""

    def put(path: str, data: bytes, **listed: Any) -> StorageObject:
        storage.objects[f"b/{path}"] = data
        fields: dict[str, Any] = {"etag": etag_of(data), "size_bytes": len(data)} | listed
        return StorageObject(bucket="b", path=path, **fields)

    return put


MakePool = Callable[..., EnrichPool]


@pytest.fixture
def make_pool(needs_processes: None, storage: FaultyStorage) -> Iterator[MakePool]:
    """Make pools over the faulty server, of one worker unless asked otherwise."""
    pools: list[EnrichPool] = []

    def make(*, idle_seconds: float | None = None, **options: Any) -> EnrichPool:
        pools.append(_pool(storage, idle_seconds, options))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture(scope="session")
def lasting_pool(needs_processes: None, storage_server: FaultyStorage) -> Iterator[EnrichPool]:
    """A pool of one worker whose start is paid for once. Tests ask for `shared_pool`."""
    with _pool(storage_server, None, {}) as pool:
        yield pool


@pytest.fixture
def shared_pool(lasting_pool: EnrichPool, storage: FaultyStorage) -> EnrichPool:
    """A pool over the faulty server for tests that leave no worker stuck, slowed or dead.

    After answers of overload a worker asks for less at once, and of an object that is not there it
    asks whether the last one that it read still is: such tests make a pool of their own.
    """
    return lasting_pool


def _pool(
    storage: FaultyStorage, idle_seconds: float | None, options: dict[str, Any]
) -> EnrichPool:
    defaults: dict[str, Any] = {
        "supabase_url": storage.url,
        "service_key": "sb_secret_of_the_tests",
        "workers": 1,
        "probe": ProbeOptions(max_pixels=10_000_000, location=False, exif_tags=("Make",)),
        "silence_seconds": 60.0,
    }
    return EnrichPool(EngineOptions(**(defaults | options)), idle_seconds=idle_seconds)


@pytest.fixture
def poisonous_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoders that die of, or hang on, bytes that say so: see `poison/sitecustomize.py`."""
    known = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(POISON), *filter(None, [known])]))
