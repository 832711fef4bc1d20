"""Second step: download and probe the objects of a batch. Cached and retried."""

from __future__ import annotations

import hashlib
import logging
from typing import Any, Self

import msgspec
from prefect import Task, get_run_logger, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext

from media_enricher.batching import Batch, Looked
from media_enricher.engine.allowance import Allowance
from media_enricher.models import ENRICHER_VERSION, Outcome
from media_enricher.orchestration import resources
from media_enricher.settings import supabase_settings

GRACE_SECONDS = 0.8
"""How long the finished objects of a batch wait for the others.

With the time to write them, some 0.2 s, the progress of a run moves at least every second while
objects finish. A batch of objects that take longer than this costs one task run and one snapshot
part for every such pause, so it is no shorter than progress needs.
"""


class BatchIncompleteError(Exception):
    """Every object of a batch has failed for now. A retry reads them again.

    It fails the task run, so that nothing of it is cached, and carries how each object failed.
    """

    def __init__(self, outcomes: list[Outcome]) -> None:
        first = outcomes[0].asset
        super().__init__(
            f"{len(outcomes):,} objects could not be read for now, "
            f"among them {first.path!r}: {first.error_message}"
        )
        self.outcomes = outcomes

    def __reduce__(self) -> tuple[type[Self], tuple[list[Outcome]]]:
        """Allow it to be sent back from another process."""
        return type(self), (self.outcomes,)


class AllowanceUsedUpError(Exception):
    """A batch's allowance has no room for any of its objects. It fails the task run, uncached."""


def batch_cache_key(_context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """Hash all that the result of a batch depends on, and nothing else.

    That is the project, each object with its version (etag, size, declared type) and attempt, the
    depth, the enricher's version and the options that change what is found. The run and its budget
    are left out, so that a repeated run finds the result.
    """
    batch: Batch = parameters["batch"]
    material = (
        supabase_settings().url,
        ENRICHER_VERSION,
        msgspec.to_builtins(resources.engine_options().probe),
        batch.depth,
        [
            (
                *(member.bucket, member.path, member.etag, member.size_bytes),
                *(member.declared_content_type, member.attempts),
            )
            for member in batch.objects
        ],
    )
    return hashlib.sha256(msgspec.json.encode(material)).hexdigest()


def is_transient(_task: Task[..., Any], _task_run: TaskRun, state: State[Any]) -> bool:
    """Retry a batch for transient failures only, not for a bug or a closed engine."""
    return isinstance(state.data, BatchIncompleteError)


@task(
    name="enrich",
    task_run_name="enrich {batch}",
    cache_key_fn=batch_cache_key,
    retry_condition_fn=is_transient,
    persist_result=True,
    result_serializer="json",  # never pickle: whoever writes to its storage could run code here
    cache_result_in_memory=False,
)
def enrich(batch: Batch) -> str:
    """Enrich the objects of one batch, and return a `Looked` as JSON.

    Returns once all objects are done, or `GRACE_SECONDS` after the first of them, so that objects
    that are done do not wait for slow ones. The others are another batch, for another task run, as
    are those that the batch's allowance has no room for.

    It is JSON, because Prefect stores a string as it is, but searches any other value for futures.

    Raises:
        BatchIncompleteError: all objects failed for now. Prefect waits, and the retry reads them
            again.
        AllowanceUsedUpError: nothing could be read within the allowance.
        PoolClosed: the run is being stopped.
    """
    allowance = _allowance(batch)
    outcomes = resources.engine().enrich(
        batch.untried(), batch.depth, grace_seconds=GRACE_SECONDS, allowance=allowance
    )
    is_cut_short = allowance is not None and allowance.has_refused
    batch.include_given_up(outcomes)
    _log(batch, outcomes)
    done = [outcome for outcome in outcomes if not outcome.is_transient_failure]
    failed = batch.failed | {
        outcome.asset.path: outcome for outcome in outcomes if outcome.is_transient_failure
    }
    if not done:
        failed = batch.given_up | failed  # those that there was no room to read again stay failed
        if not failed:
            raise AllowanceUsedUpError
        batch.failed = failed
        batch.begin_again()  # Prefect calls the retry with the same batch
        raise BatchIncompleteError(list(failed.values()))
    looked = Looked(done, list(failed.values()), batch.rounds, is_cut_short)
    return msgspec.json.encode(looked).decode()


def _allowance(batch: Batch) -> Allowance | None:
    """What may be read of a batch, less what was read of members that failed for now."""
    if batch.allowance is None:
        return None
    unsettled = [*batch.failed.values(), *batch.given_up.values()]
    return Allowance(batch.allowance - sum(outcome.bytes_read for outcome in unsettled))


def _log(batch: Batch, outcomes: list[Outcome]) -> None:
    """Log a line for each object at level DEBUG."""
    logger = get_run_logger()
    if not logger.isEnabledFor(logging.DEBUG):
        return
    for outcome in outcomes:
        asset = outcome.asset
        logger.debug(
            "%s: %s",
            asset.path,
            asset.error_code or asset.status,
            extra={
                "batch": str(batch),
                "bucket": asset.bucket,
                "path": asset.path,
                "status": asset.status,
                "error_code": asset.error_code,
                "bytes_read": outcome.bytes_read,
                "download_seconds": outcome.download_seconds,
                "probe_seconds": outcome.probe_seconds,
            },
        )
