"""Second step: read objects and compute their metadata. Mapped over batches, cached, retried."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache
from itertools import islice
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

import msgspec
from prefect import Task, get_run_logger, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.futures import PrefectFuture
from prefect.tasks import exponential_backoff

from media_enricher.batching import Batch, Looked
from media_enricher.engine import sandbox
from media_enricher.models import ENRICHER_VERSION, Mode, Outcome
from media_enricher.orchestration import resources
from media_enricher.orchestration.batch_cuts import Cuts
from media_enricher.orchestration.task_cache import TaskCache
from media_enricher.processes import kill_workers
from media_enricher.settings import TaskRunnerName, settings, supabase_settings

PATIENCE_SECONDS = 2.0
"""How long the finished objects of a batch wait for the rest of it."""


_looked = msgspec.json.Decoder(Looked)


OUTAGE_OBJECTS = 500
"""After so many objects in a row that could not be read, retries included, the run gives up."""


class OutageError(Exception):
    """Storage has stopped responding; going on would only mark all further objects as failed."""


class BatchIncompleteError(Exception):
    """No object of a batch could be read for now; a retry reads them again.

    It fails the task run, so that nothing is cached, and carries the failure of each object.
    """

    def __init__(self, outcomes: list[Outcome]) -> None:
        first = outcomes[0].asset
        super().__init__(
            f"{len(outcomes):,} objects could not be read for now, for example {first.path!r}: "
            f"{first.error_message}"
        )
        self.outcomes = outcomes

    def __reduce__(self) -> tuple[type[Self], tuple[list[Outcome]]]:
        """Support pickling, for the way back from another process."""
        return type(self), (self.outcomes,)


def batch_cache_key(_context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """The cache key of a batch: a hash of everything that its result depends on.

    That is the project, each object with its version (etag, size, declared type) and attempt, the
    depth, the enricher's version, and the options that change the result. The run is not part of
    it, so that a repeated run finds the result.
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
    """Retry a batch only if its objects failed for a temporary reason, not for a bug."""
    return isinstance(state.data, BatchIncompleteError)


@task(
    name="enrich",
    task_run_name="enrich {batch}",
    cache_key_fn=batch_cache_key,
    retry_condition_fn=is_transient,
    persist_result=True,
    result_serializer="json",  # never pickle: loading one runs code from the storage
    cache_result_in_memory=False,
)
def enrich(batch: Batch) -> str:
    """Process the objects of one batch, and return a `Looked` as JSON.

    It returns when all objects are done, or soon after the first ones: finished objects do not wait
    for slow ones. The rest becomes another batch, for another task run.

    The result is JSON because Prefect stores text as it is, but searches objects for futures.

    Raises:
        BatchIncompleteError: all objects failed for now. Prefect waits, and the retry reads them
            again.
        PoolClosed: the run is being stopped.
    """
    untried = batch.untried()
    outcomes = resources.engine().enrich(untried, batch.depth, patience=PATIENCE_SECONDS)
    _log(batch, outcomes)
    done = [outcome for outcome in outcomes if not outcome.is_transient_failure]
    failed = batch.failed | {
        outcome.asset.path: outcome for outcome in outcomes if outcome.is_transient_failure
    }
    if not done:
        batch.failed.clear()  # Prefect calls the retry with the same batch
        batch.rounds += 1
        raise BatchIncompleteError(list(failed.values()))
    return msgspec.json.encode(Looked(done, list(failed.values()), batch.rounds)).decode()


def _log(batch: Batch, outcomes: list[Outcome]) -> None:
    """Log one line per object, at level DEBUG."""
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


class Enrichment:
    """The task `enrich`, mapped over a run's batches, with a bounded number of them in flight.

    A context manager. Left normally or by an error, it lets the batches in flight finish, so that
    their results are cached; left by a signal (`KeyboardInterrupt`, Prefect's
    `TerminationSignal`), it stops the engine at once.
    """

    def __init__(self, mode: Mode, *, start_lanes: bool = True) -> None:
        """Configure the task for this run.

        Args:
            mode: `failed` and `all` bypass the cache.
            start_lanes: start the lanes at once, while the run is planned; otherwise they start
                with the first batch, if there is one.
        """
        self._cache = TaskCache()
        self._starts_lanes = start_lanes
        self._window = settings().batches_in_flight
        self._finished: SimpleQueue[PrefectFuture[str]] = SimpleQueue()
        self._refreshes = mode in (Mode.FAILED, Mode.ALL)
        self._submitted: dict[PrefectFuture[str], Batch] = {}
        self._cuts = Cuts()
        self._unread_in_a_row = 0
        self._why_unread: str | None = None
        self.reused = 0

    def __enter__(self) -> Self:
        self._cache.sweep()
        if missing := sandbox.shortcoming():
            get_run_logger().warning(
                "decoders of untrusted files are less isolated than they should be: %s", missing
            )
        if self._starts_lanes:
            self._start_lanes()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        interrupted = kind is not None and not issubclass(kind, Exception)
        try:
            if interrupted:
                if settings().task_runner is TaskRunnerName.PROCESSES:
                    kill_workers()  # a cluster drops its tasks by itself
            else:
                while self._submitted:
                    with suppress(Exception):  # the first error is already being raised
                        self._next_outcomes()
        finally:
            resources.close_engine()

    def map(self, batches: Iterable[Batch]) -> Iterator[list[Outcome]]:
        """Process batches as they come, and yield the outcomes of all that have finished.

        Raises:
            OutageError: the last `OUTAGE_OBJECTS` could not be read; their outcomes were yielded.
            Exception: the error of a task run that failed for any other reason.
        """
        self._submit_from(batches)
        while self._submitted:
            outcomes = self._next_outcomes()
            while not self._finished.empty():
                outcomes += self._next_outcomes()
            self._cuts.note()
            try:
                self._submit_from(batches)  # the lanes read on while these outcomes are written
            except Exception:
                yield outcomes  # they are still written
                raise
            yield outcomes
            if self._unread_in_a_row >= OUTAGE_OBJECTS:
                raise OutageError(
                    f"the last {self._unread_in_a_row:,} objects could not be read "
                    f"({self._why_unread}); start the run again when Storage responds"
                )

    def _submit_from(self, batches: Iterable[Batch]) -> None:
        for batch in islice(batches, max(0, self._window - len(self._submitted))):
            self._submit(batch)  # one by one: the first is processed while others are planned

    @lru_cache  # noqa: B019 - the process ends with the run
    def _task(self, retries: int) -> Task[[Batch], str]:
        """The task with so many retries left."""
        configured = settings()
        task_of_run = enrich.with_options(
            retries=retries,
            retry_delay_seconds=exponential_backoff(configured.retry_delay_seconds),
            retry_jitter_factor=0.3,
            cache_expiration=timedelta(days=configured.cache_days),
            refresh_cache=self._refreshes,
        )
        # `with_options` accepts only a block that is saved on the server.
        task_of_run.result_storage = self._cache.for_task()
        return task_of_run

    @staticmethod
    def _start_lanes() -> None:
        """Start the lanes here, once, and not in each of several threads."""
        if settings().task_runner is TaskRunnerName.THREADS:
            resources.engine().start()

    def _submit(self, batch: Batch) -> None:
        self._start_lanes()
        future = self._task(settings().retries - batch.rounds).submit(batch)
        self._submitted[future] = batch
        future.add_done_callback(self._finished.put)

    def _next_outcomes(self) -> list[Outcome]:
        """Wait for a task run to end; submit the rest of its batch as another."""
        future = self._finished.get()
        batch = self._submitted.pop(future)
        result: str | BaseException = future.result(raise_on_failure=False)
        if isinstance(result, BatchIncompleteError):
            self._cuts.follow(batch, None)
            # Storage did respond for a batch that was read in part, so the failures of its rest
            # are no sign of an outage.
            if not batch.is_rest:
                self._unread_in_a_row += len(result.outcomes)
                self._why_unread = result.outcomes[-1].asset.error_message
            return result.outcomes
        if isinstance(result, BaseException):
            raise result
        looked = _looked.decode(result)
        if future.state.name == "Cached":
            self.reused += len(looked.done)
            for outcome in looked.done:  # this run read nothing
                outcome.bytes_read = 0
                outcome.download_seconds = outcome.probe_seconds = 0.0
            looked.failed, looked.rounds = [], 0  # failures of an earlier run
        else:
            self._unread_in_a_row = 0
        rest = batch.rest(
            {outcome.asset.path for outcome in looked.done}, looked.failed, looked.rounds
        )
        if rest is not None:
            self._submit(rest)
        if not self._refreshes:  # otherwise the cache is not read
            self._cuts.follow(batch, rest)
        return looked.done
