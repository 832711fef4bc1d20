"""Second step: read objects and say what they are. Mapped over batches, cached and retried."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from datetime import timedelta
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

from media_enricher.batching import Batch
from media_enricher.models import Mode, Outcome
from media_enricher.probe import ENRICHER_VERSION
from media_enricher.processes import kill_workers
from media_enricher.settings import TaskRunnerName, settings, supabase_settings
from tasks import resources
from tasks.task_cache import TaskCache

_outcomes = msgspec.json.Decoder(list[Outcome])


class BatchIncompleteError(Exception):
    """Some members of a batch ended in a transient failure; a retry reads just those again.

    It fails the task run, so that nothing of the batch is cached, and carries what was found.
    """

    def __init__(self, outcomes: list[Outcome]) -> None:
        transient = [outcome for outcome in outcomes if outcome.is_transient_failure]
        first = transient[0].asset
        super().__init__(
            f"{len(transient)} of {len(outcomes)} objects could not be read for now, "
            f"{first.path!r} among them: {first.error_message}"
        )
        self.outcomes = outcomes

    def __reduce__(self) -> tuple[type[Self], tuple[list[Outcome]]]:
        """Survive the way back from another process."""
        return type(self), (self.outcomes,)


def batch_cache_key(_context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """Name the result of a batch by all it depends on, and by nothing else.

    That is the project, each member with its version (etag, size, declared type) and attempt, the
    depth, the enricher's version and the options that change what is found; not the run, so that a
    repeated run finds it.
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
    """Retry a batch for its transient failures alone; a bug or a closed engine is not one."""
    return isinstance(state.data, BatchIncompleteError)


@task(
    name="enrich",
    task_run_name="enrich {batch}",
    cache_key_fn=batch_cache_key,
    retry_condition_fn=is_transient,
    persist_result=True,
    result_serializer="json",  # never pickle: whoever writes to a pickle's storage runs code here
    cache_result_in_memory=False,
)
def enrich(batch: Batch) -> str:
    """Enrich one batch, and return its outcomes in the order of its members, as JSON.

    JSON, for Prefect stores it as it is, and walks through anything that it can look into.

    Raises:
        BatchIncompleteError: members ended in a transient failure; the others are remembered.
        PoolClosed: the run is being stopped.
    """
    outcomes = resources.engine().enrich(batch.unfinished(), batch.depth)
    _log(batch, outcomes)
    latest = batch.outcomes | {outcome.asset.path: outcome for outcome in outcomes}
    batch.finish(outcomes)
    in_order = [latest[member.path] for member in batch.objects]
    if batch.unfinished():
        raise BatchIncompleteError(in_order)
    return msgspec.json.encode(in_order).decode()


def _log(batch: Batch, outcomes: list[Outcome]) -> None:
    """A line for each object, where DEBUG is shown."""
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
    """A run's enriching: `enrich` mapped over batches, a bounded number of them in flight.

    A context manager. Left normally or by an error, it lets the batches in flight finish, so that
    what was read is in the cache; left by a signal (`KeyboardInterrupt`, Prefect's
    `TerminationSignal`), it stops the engine at once.
    """

    def __init__(self, mode: Mode, *, start_lanes: bool = True) -> None:
        """Configure the task for this run.

        Args:
            mode: those that ask for a new look skip the cache.
            start_lanes: at once, so that they come up while the run is planned; else they start
                with the first batch, if there is one.
        """
        ours = settings()
        self._cache = TaskCache()
        self._starts_lanes = start_lanes
        self._window = ours.batches_in_flight
        self._finished: SimpleQueue[PrefectFuture[str]] = SimpleQueue()
        self._in_flight = 0
        self._enrich = enrich.with_options(
            retries=ours.retries,
            retry_delay_seconds=exponential_backoff(ours.retry_delay_seconds),
            retry_jitter_factor=0.3,
            cache_expiration=timedelta(days=ours.cache_days),
            refresh_cache=mode in (Mode.FAILED, Mode.ALL),
        )
        # As an option, Prefect takes only a block that its server knows.
        self._enrich.result_storage = self._cache.for_task()
        self.reused = 0

    def __enter__(self) -> Self:
        self._cache.sweep()
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
                    kill_workers()  # a cluster is left by itself, and lets go of what it was given
            else:
                while self._in_flight:
                    self._next_finished()
        finally:
            resources.close_engine()

    def map(self, batches: Iterable[Batch]) -> Iterator[list[Outcome]]:
        """Enrich batches as they come, and yield the outcomes of all that finished meanwhile.

        Raises:
            Exception: whatever made a task run fail, other than objects that could not be read.
        """
        while True:
            for batch in islice(batches, self._window - self._in_flight):
                self._submit(batch)  # one by one: the first is under way while others are planned
            if not self._in_flight:
                return
            done = [self._next_finished()]
            while not self._finished.empty():
                done.append(self._next_finished())
            yield [outcome for future in done for outcome in self._outcomes_of(future)]

    @staticmethod
    def _start_lanes() -> None:
        """Start them here, and not in the first of several threads that would all do it."""
        if settings().task_runner is TaskRunnerName.THREADS:
            resources.engine().start()

    def _submit(self, batch: Batch) -> None:
        self._start_lanes()
        future = self._enrich.submit(batch)
        self._in_flight += 1
        future.add_done_callback(self._finished.put)

    def _next_finished(self) -> PrefectFuture[str]:
        future = self._finished.get()
        self._in_flight -= 1
        return future

    def _outcomes_of(self, future: PrefectFuture[str]) -> list[Outcome]:
        result: str | BaseException = future.result(raise_on_failure=False)
        if isinstance(result, BatchIncompleteError):
            return result.outcomes
        if isinstance(result, BaseException):
            raise result
        outcomes = _outcomes.decode(result)
        if future.state.name == "Cached":
            self.reused += len(outcomes)
            for outcome in outcomes:  # what this run did: it read nothing
                outcome.bytes_read = 0
                outcome.download_seconds = outcome.probe_seconds = 0.0
        return outcomes
