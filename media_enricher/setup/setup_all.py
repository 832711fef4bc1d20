"""The whole set-up, in the order in which its parts depend on each other."""

from __future__ import annotations

from collections.abc import AsyncIterator

from media_enricher.settings import SetupSettings, SupabaseSettings, settings
from media_enricher.setup.automations import make_automations
from media_enricher.setup.blocks import make_notification_block, make_project_blocks
from media_enricher.setup.deployments import make_deployments
from media_enricher.setup.prefect_api import prefect_api
from media_enricher.setup.resources import PoolType, Resource
from media_enricher.setup.variables import make_nightly_bucket
from media_enricher.setup.watching import watch_buckets
from media_enricher.setup.work_pool import make_work_pool, make_work_queues


async def setup_all(
    project: SupabaseSettings,
    options: SetupSettings,
    *,
    pool_type: PoolType | None = None,
    nightly_bucket: str | None = None,
    wait_seconds: float = 0,
) -> AsyncIterator[Resource]:
    """Create the resources that are missing, and update those that differ.

    It can be repeated at any time, also after it failed half-way: unchanged resources stay as they
    are.

    Args:
        project: the Supabase project that runs process.
        options: the settings of `media-enricher setup`.
        pool_type: the type of the work pool; None keeps its type, or creates one of type `process`.
        nightly_bucket: the bucket of the nightly backfill; None keeps the one that is set.
        wait_seconds: how long to wait for a Prefect server that does not respond yet.

    Yields:
        Each resource, as soon as it is checked.

    Raises:
        SetupError: Prefect does not respond, or a resource cannot be created; the message says what
            to do.
        ResultBucketError: the bucket of task results is public.
        SupabaseError: Supabase refused or failed a request.
    """
    async with prefect_api(wait_seconds) as client:
        yield await make_work_pool(client, pool_type, options.image)
        async for resource in make_work_queues(client):
            yield resource
        async for resource in make_project_blocks(project):
            yield resource
        yield await make_notification_block(options.notification_url)
        yield await make_nightly_bucket(client, nightly_bucket)
        async for resource in make_deployments(client):
            yield resource
        async for resource in make_automations(client):
            yield resource
    async for resource in watch_buckets(project, settings().buckets):
        yield resource
