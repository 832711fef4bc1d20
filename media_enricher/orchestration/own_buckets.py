"""The buckets that runs write to: registered in the database, and never processed."""

from __future__ import annotations

from typing import cast

from media_enricher.blocks import SupabaseBucket
from media_enricher.orchestration import resources
from media_enricher.settings import settings
from media_enricher.supabase.own_buckets import (
    OwnBucketError,
    OwnBuckets,
    Purpose,
    configured_buckets,
    refusal,
)

_OUR_BLOCKS = f"block:{SupabaseBucket.get_block_type_slug()}/"


def own_buckets() -> frozenset[str]:
    """The names of all of them. Registers those of this process's settings and block.

    Raises:
        SupabaseError: the database does not respond.
    """
    configured = configured_buckets(settings()) | _bucket_of_results(settings().result_storage)
    return OwnBuckets(resources.supabase(), configured).names()


def refuse_own_bucket(bucket: str) -> None:
    """Refuse a bucket that runs write to. Call this before the run writes anything.

    Raises:
        OwnBucketError: runs write to this bucket.
        SupabaseError: the database does not respond.
    """
    if bucket in own_buckets():
        raise OwnBucketError(refusal(bucket))


def _bucket_of_results(place: str | None) -> dict[str, Purpose]:
    """The bucket in which a block stores results, whatever its name.

    The project is not compared: the block may have another address of the same project.
    """
    if place is None or not place.startswith(_OUR_BLOCKS):
        return {}
    try:
        block = cast("SupabaseBucket", SupabaseBucket.load(place.removeprefix(_OUR_BLOCKS)))
    except ValueError:  # there is no such block: nothing is stored, and the task cache reports it
        return {}
    return {block.bucket: Purpose.RESULTS}
