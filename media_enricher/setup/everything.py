"""All of a set-up, in the order in which one thing needs another."""

from __future__ import annotations

from collections.abc import AsyncIterator

from media_enricher.settings import SetupSettings, SupabaseSettings
from media_enricher.setup.automations import make_automations
from media_enricher.setup.blocks import make_notification_block, make_project_blocks
from media_enricher.setup.deployments import make_deployments
from media_enricher.setup.prefect_api import prefect_api
from media_enricher.setup.things import PoolType, Thing
from media_enricher.setup.variables import make_nightly_bucket
from media_enricher.setup.work_pool import make_work_pool, make_work_queues


async def set_up(
    project: SupabaseSettings,
    ours: SetupSettings,
    *,
    pool_type: PoolType | None = None,
    nightly_bucket: str | None = None,
    wait_seconds: float = 0,
) -> AsyncIterator[Thing]:
    """Make all that is missing, and bring up to date what is not as it should be.

    It may be done again at any time, also after it failed half-way: what is right is left alone.

    Args:
        project: the Supabase project that runs are to work on.
        ours: the settings of a set-up.
        pool_type: of the work pool; None for that which it has, or else `process`.
        nightly_bucket: what the nightly backfill works on; None for that which was named before.
        wait_seconds: how long to wait for a Prefect server that does not answer yet.

    Yields:
        Each thing, as soon as it is there.

    Raises:
        SetupError: Prefect is not there, or something cannot be made; the message says what to do.
        ResultBucketError: the bucket of results is public.
        SupabaseError: the project does not do what was asked.
    """
    async with prefect_api(wait_seconds) as client:
        yield await make_work_pool(client, pool_type, ours.image)
        async for thing in make_work_queues(client):
            yield thing
        async for thing in make_project_blocks(project):
            yield thing
        yield await make_notification_block(ours.notification_url)
        yield await make_nightly_bucket(client, nightly_bucket)
        async for thing in make_deployments(client):
            yield thing
        async for thing in make_automations(client):
            yield thing
