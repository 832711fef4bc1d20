"""What a run asks of Supabase before it plans: all at once, while Prefect starts the flow.

Over a far Supabase, each of these takes a round trip, and the first ones two more, for connections.
So a hook asks beside the one that records the run as running, before the flow is called.
"""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State

from media_enricher.orchestration import resources, state_hooks
from media_enricher.orchestration.background import in_background
from media_enricher.orchestration.own_buckets import refuse_own_bucket


class UnknownBucketError(Exception):
    """The bucket does not exist, or the key has no access to it."""


class Opening(NamedTuple):
    """Answers that are under way.

    Attributes:
        bucket_checked: that of `require_bucket`.
        cuts: the last paths of batches that earlier runs wrote only in part.
    """

    bucket_checked: Future[None]
    cuts: Future[list[str]]


_begun: dict[str, Opening] = {}


def begin(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Ask. A hook of a flow with the parameters `bucket` and `dry_run`."""
    if not flow_run.parameters.get("dry_run"):
        _begun[str(flow_run.id)] = _ask(flow_run.parameters["bucket"])


def opening(run_id: str, bucket: str) -> Opening:
    """What the hook has begun; begun now, if it has not been called."""
    return _begun.pop(run_id, None) or _ask(bucket)


HOOKS: state_hooks.StateHooks = {
    **state_hooks.ALL,
    "on_running": [begin, *state_hooks.ALL["on_running"]],
}
"""The hooks of a flow that takes its `opening`."""


def require_bucket(bucket: str) -> None:
    """Make sure that runs may work on a bucket.

    Raises:
        OwnBucketError: the bucket is one that runs write to.
        UnknownBucketError: there is no such bucket; it would otherwise look like an empty one.
        SupabaseError: Storage did not respond.
    """
    exists = in_background(resources.bucket(bucket).exists, name="bucket exists")
    refuse_own_bucket(bucket)
    if not exists.result():
        raise UnknownBucketError(
            f"there is no bucket {bucket!r} in this project; "
            "check the name on the Storage page, or create the bucket"
        )


def _ask(bucket: str) -> Opening:
    return Opening(
        in_background(partial(require_bucket, bucket), name="bucket check"),
        in_background(lambda: resources.asset_table().cuts(bucket), name="known cuts"),
    )
