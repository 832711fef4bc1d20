"""Create the work pool and its queues."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import WorkPool
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from media_enricher.setup.docker_pool import docker_template
from media_enricher.setup.resources import POOL, Outcome, PoolType, Resource, SetupError

QUEUE_PRIORITIES = {"objects": 1, "coordination": 2, "backfills": 3}
"""New uploads first, then short and waiting runs, then runs of hours."""


async def make_work_pool(
    client: PrefectClient, wanted: PoolType | None, image: str | None = None
) -> Resource:
    """Create the pool, or update its template if it is ours.

    Args:
        client: a client of the Prefect API.
        wanted: the type; None keeps its type, or creates a pool of type `process`.
        image: the image of the containers of runs; None for that of this version.

    Raises:
        SetupError: the pool exists with another type, which Prefect cannot change.
        SettingsError: a setting for runs is invalid.
    """
    found = await _find(client) or await _make(client, wanted or PoolType.PROCESS, image)
    if isinstance(found, Resource):
        return found
    if wanted and found.type != wanted:
        raise SetupError(
            f"The work pool {POOL!r} has the type {found.type}, which cannot be changed to "
            f"{wanted}. "
            "Omit --work-pool to use it as it is, or delete it with the runs that wait in it: "
            f"`prefect work-pool delete {POOL}`."
        )
    template = _template(found.type, found.base_job_template, image)
    if template is None or template == found.base_job_template:
        return Resource("work pool", POOL, Outcome.UNCHANGED, f"type {found.type}")
    await client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=template))
    return Resource("work pool", POOL, Outcome.UPDATED, f"type {found.type}")


async def make_work_queues(client: PrefectClient) -> AsyncIterator[Resource]:
    """Create the pool's queues, and set their priorities; their limits stay unchanged."""
    there = {queue.name: queue for queue in await client.read_work_queues(work_pool_name=POOL)}
    outcomes = {}
    for name, priority in QUEUE_PRIORITIES.items():
        if name not in there:
            await client.create_work_queue(name, priority=priority, work_pool_name=POOL)
            outcomes[name] = Outcome.CREATED
    # Creating a queue changes the priorities of others, so set them once all exist.
    there = {queue.name: queue for queue in await client.read_work_queues(work_pool_name=POOL)}
    for name, priority in QUEUE_PRIORITIES.items():
        if there[name].priority != priority:
            await client.update_work_queue(there[name].id, priority=priority)
            outcomes.setdefault(name, Outcome.UPDATED)
        outcome = outcomes.get(name, Outcome.UNCHANGED)
        yield Resource("work queue", name, outcome, f"priority {priority}")


async def _find(client: PrefectClient) -> WorkPool | None:
    try:
        return await client.read_work_pool(POOL)
    except ObjectNotFound:
        return None


async def _make(client: PrefectClient, kind: PoolType, image: str | None) -> Resource | WorkPool:
    """Create the pool; or find it, because a worker that starts at this moment creates it too."""
    template = _template(kind, None, image) or {}
    pool = WorkPoolCreate(name=POOL, type=kind.value, base_job_template=template)
    try:
        await client.create_work_pool(pool)
    except ObjectAlreadyExists:
        return await client.read_work_pool(POOL)
    return Resource("work pool", POOL, Outcome.CREATED, f"type {kind}")


def _template(
    kind: str, there: Mapping[str, Any] | None, image: str | None
) -> dict[str, Any] | None:
    """The base job template for a type of pool; None to use the worker's own."""
    return docker_template(there, image) if kind == PoolType.DOCKER else None
