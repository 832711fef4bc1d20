"""The buckets that runs themselves write to: told to the database, and never worked on."""

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
    """All of them; the database is told those of this process's settings and block.

    Raises:
        SupabaseError: the database does not answer.
    """
    ours = settings()
    configured = configured_buckets(ours) | _bucket_of_results(ours.result_storage)
    return OwnBuckets(resources.supabase(), configured).names()


def refuse_own_bucket(bucket: str) -> None:
    """Let no run work on what runs store. To be called before the run stores anything.

    Raises:
        OwnBucketError: the bucket is one of our own.
        SupabaseError: the database does not answer.
    """
    if bucket in own_buckets():
        raise OwnBucketError(refusal(bucket))


def _bucket_of_results(place: str | None) -> dict[str, Purpose]:
    """The bucket in which a block keeps results, whatever its name.

    In whichever project: the address by which a block knows this one may be another than ours.
    """
    if place is None or not place.startswith(_OUR_BLOCKS):
        return {}
    try:
        block = cast("SupabaseBucket", SupabaseBucket.load(place.removeprefix(_OUR_BLOCKS)))
    except ValueError:  # there is no such block: nothing is stored, and the task cache says why
        return {}
    return {block.bucket: Purpose.RESULTS}
