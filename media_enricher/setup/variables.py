"""Create the Prefect variables."""

from __future__ import annotations

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import VariableCreate, VariableUpdate

from media_enricher.settings import settings
from media_enricher.setup.blocks import RESULTS
from media_enricher.setup.nightly import BUCKET_VARIABLE
from media_enricher.setup.resources import Outcome, Resource, SetupError
from media_enricher.supabase.own_buckets import configured_buckets, refusal


async def make_nightly_bucket(client: PrefectClient, bucket: str | None) -> Resource:
    """Set the bucket of the nightly backfill.

    Args:
        client: a client of the Prefect API.
        bucket: the name of the bucket; None keeps the one that is set, if any.

    Raises:
        SetupError: runs write to this bucket. (The run itself refuses a bucket that only a block
            names.)
    """
    if bucket is not None and bucket in {RESULTS, *configured_buckets(settings())}:
        raise SetupError(refusal(bucket))
    found = await client.read_variable_by_name(BUCKET_VARIABLE)
    if bucket is None and found is None:
        off = "the nightly backfill is off: turn it on with --nightly BUCKET"
        return Resource("variable", BUCKET_VARIABLE, Outcome.SKIPPED, off)
    if found is None:
        await client.create_variable(VariableCreate(name=BUCKET_VARIABLE, value=bucket))
        return Resource("variable", BUCKET_VARIABLE, Outcome.CREATED, f"{bucket}")
    if bucket is None or bucket == found.value:
        return Resource("variable", BUCKET_VARIABLE, Outcome.UNCHANGED, f"{found.value}")
    await client.update_variable(VariableUpdate(name=BUCKET_VARIABLE, value=bucket))
    return Resource("variable", BUCKET_VARIABLE, Outcome.UPDATED, f"{bucket}")
