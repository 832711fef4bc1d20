"""Create the blocks: the project's keys, the bucket of task results, the webhook."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

from prefect.blocks.core import Block
from prefect.blocks.webhook import Webhook
from prefect.types import SecretDict
from pydantic import SecretStr

from media_enricher.blocks import SupabaseBucket, SupabaseCredentials
from media_enricher.settings import SupabaseSettings
from media_enricher.setup.resources import Outcome, Resource

CREDENTIALS = "media-enricher"
RESULTS = "media-enricher-results"
"""The name of the bucket, and of its block."""
NOTIFICATIONS = "media-enricher-notifications"

_Kind = TypeVar("_Kind", bound=Block)


async def make_project_blocks(project: SupabaseSettings) -> AsyncIterator[Resource]:
    """Create the blocks of a Supabase project, and the private bucket of results.

    Raises:
        ResultBucketError: the bucket exists and is public.
        SupabaseError: Storage refused or failed a request.
    """
    credentials, resource = await _make(
        SupabaseCredentials(
            url=project.url, service_key=project.service_key, anon_key=project.anon_key
        ),
        CREDENTIALS,
    )
    yield resource
    results, resource = await _make(
        SupabaseBucket(credentials=credentials, bucket=RESULTS), RESULTS
    )
    yield resource
    is_new = await asyncio.to_thread(results.create)
    yield Resource("bucket", RESULTS, Outcome.CREATED if is_new else Outcome.UNCHANGED, "private")


async def make_notification_block(url: SecretStr | None) -> Resource:
    """Create the block of the webhook for failed runs; without a URL, leave it as it is."""
    label = f"{Webhook.get_block_type_slug()}/{NOTIFICATIONS}"
    if url is None:
        if await _find(Webhook, NOTIFICATIONS):
            return Resource("block", label, Outcome.UNCHANGED)
        note = "no notifications of failed runs: MEDIA_ENRICHER_NOTIFICATION_URL is not set"
        return Resource("block", label, Outcome.SKIPPED, note)
    # Chat services reject JSON without this header.
    headers = SecretDict({"content-type": "application/json"})
    _, resource = await _make(Webhook(url=url, headers=headers), NOTIFICATIONS)
    return resource


async def _make(wanted: _Kind, name: str) -> tuple[_Kind, Resource]:
    """Save a block under a name, unless it is saved with the same values already.

    Returns:
        The saved block, which other blocks can refer to, and its outcome.
    """
    label = f"{wanted.get_block_type_slug()}/{name}"
    found = await _find(type(wanted), name)
    if found is None:
        await wanted.asave(name)
        return wanted, Resource("block", label, Outcome.CREATED)
    if _values(found) == _values(wanted):
        return found, Resource("block", label, Outcome.UNCHANGED)
    await wanted.asave(name, overwrite=True)
    return wanted, Resource("block", label, Outcome.UPDATED)


async def _find(kind: type[_Kind], name: str) -> _Kind | None:
    try:
        return await kind.aload(name)
    except ValueError:  # Prefect's error for a missing block
        return None


def _values(block: Block) -> dict[str, object]:
    """The values of a block, whether it is saved or not; secrets compare by their values."""
    values = {name: getattr(block, name) for name in type(block).model_fields}
    return {
        name: _values(value) if isinstance(value, Block) else value
        for name, value in values.items()
    }
