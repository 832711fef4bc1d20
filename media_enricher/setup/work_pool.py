"""The work pool and its queues."""

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
"""A new upload goes before what is soon done or only waits, and that before the work of hours."""


async def make_work_pool(
    client: PrefectClient, wanted: PoolType | None, image: str | None = None
) -> Resource:
    """Make the pool, or find it; a template of ours is brought up to date.

    Args:
        client: of the Prefect API.
        wanted: the type; None for that which it has, or else `process`.
        image: of the containers of runs, where there are any; None for that of this version.

    Raises:
        SetupError: it is there with another type, which Prefect cannot change.
        SettingsError: a setting that runs are to be given is invalid.
    """
    found = await _find(client) or await _make(client, wanted or PoolType.PROCESS, image)
    if isinstance(found, Resource):
        return found
    if wanted and found.type != wanted:
        raise SetupError(
            f"The work pool {POOL!r} is of type {found.type}, and cannot become one of type "
            f"{wanted}. Leave --work-pool out to use it as it is, or delete it first, with the "
            f"runs that wait in it: `prefect work-pool delete {POOL}`."
        )
    template = _template(found.type, found.base_job_template, image)
    if template is None or template == found.base_job_template:
        return Resource("work pool", POOL, Outcome.UNCHANGED, f"type {found.type}")
    await client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=template))
    return Resource("work pool", POOL, Outcome.UPDATED, f"type {found.type}")


async def make_work_queues(client: PrefectClient) -> AsyncIterator[Resource]:
    """Make the pool's queues, or find them, and set their priorities; limits are left alone."""
    there = {queue.name: queue for queue in await client.read_work_queues(work_pool_name=POOL)}
    outcomes = {}
    for name, priority in QUEUE_PRIORITIES.items():
        if name not in there:
            await client.create_work_queue(name, priority=priority, work_pool_name=POOL)
            outcomes[name] = Outcome.CREATED
    # Making one pushes others down, so their order is looked at when all are there.
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
    """Make it; or find it after all, for a worker that starts at this moment makes it, too."""
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
    """The base job template for a type of pool; None where the worker's own is right."""
    return docker_template(there, image) if kind == PoolType.DOCKER else None
