"""Second step: read objects and say what they are. Mapped over batches, cached and retried."""

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

GRACE_SECONDS = 2.0
"""How long the finished objects of a batch wait for the others."""


_looked = msgspec.json.Decoder(Looked)


OUTAGE_OBJECTS = 500
"""So many objects in a row of batches of which nothing could be read, retries included, are no
accident."""


class OutageError(Exception):
    """Storage has stopped answering, so going on would only mark one object after another."""


class BatchIncompleteError(Exception):
    """No member of a batch could be read for now; a retry reads them again.

    It fails the task run, so that nothing of it is cached, and carries how each has failed.
    """

    def __init__(self, outcomes: list[Outcome]) -> None:
        first = outcomes[0].asset
        super().__init__(
            f"{len(outcomes):,} objects could not be read for now, "
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
    """Enrich what can be of one batch, and return a `Looked`, as JSON.

    It returns once all members are done, or soon after the first of them: what is done does not
    wait for what is not. The rest is another batch, for another task run.

    JSON, for Prefect stores it as it is, and walks through anything that it can look into.

    Raises:
        BatchIncompleteError: nothing is done, and nothing under way: all members failed for now.
            Prefect waits, and the retry reads them again.
        PoolClosed: the run is being stopped.
    """
    untried = batch.untried()
    outcomes = resources.engine().enrich(untried, batch.depth, grace_seconds=GRACE_SECONDS)
    _log(batch, outcomes)
    done = [outcome for outcome in outcomes if not outcome.is_transient_failure]
    failed = batch.failed | {
        outcome.asset.path: outcome for outcome in outcomes if outcome.is_transient_failure
    }
    if not done:
        batch.failed.clear()  # for the retry, in which Prefect calls this with the same batch
        batch.rounds += 1
        raise BatchIncompleteError(list(failed.values()))
    return msgspec.json.encode(Looked(done, list(failed.values()), batch.rounds)).decode()


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

    def __init__(self, mode: Mode, *, start_engine: bool = True) -> None:
        """Configure the task for this run.

        Args:
            mode: those that ask for a new look skip the cache.
            start_engine: at once, so that they come up while the run is planned; else they start
                with the first batch, if there is one.
        """
        ours = settings()
        self._cache = TaskCache()
        self._starts_engine = start_engine
        self._window = ours.batches_in_flight
        self._finished: SimpleQueue[PrefectFuture[str]] = SimpleQueue()
        self._refreshes = mode in (Mode.FAILED, Mode.ALL)
        self._submitted: dict[PrefectFuture[str], Batch] = {}
        self._cuts = Cuts()
        self._unread_in_a_row = 0
        self._why_unread: str | None = None
        self.reused = 0

    def __enter__(self) -> Self:
        self._cache.sweep()
        if missing := sandbox.missing_protection():
            get_run_logger().warning("decoders run with less protection: %s", missing)
        if self._starts_engine:
            self._start_engine()
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
                while self._submitted:
                    with suppress(Exception):  # it is the first error that counts
                        self._next_outcomes()
        finally:
            resources.close_engine()

    def map(self, batches: Iterable[Batch]) -> Iterator[list[Outcome]]:
        """Enrich batches as they come, and yield the outcomes of all that finished meanwhile.

        Raises:
            OutageError: the last so many objects could not be read; their outcomes were yielded.
            Exception: whatever made a task run fail, other than objects that could not be read.
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
                yield outcomes  # they are written, though no more can be planned
                raise
            yield outcomes
            if self._unread_in_a_row >= OUTAGE_OBJECTS:
                raise OutageError(
                    f"the last {self._unread_in_a_row:,} objects could not be read "
                    f"({self._why_unread}); start the run again once Storage answers"
                )

    def _submit_from(self, batches: Iterable[Batch]) -> None:
        for batch in islice(batches, max(0, self._window - len(self._submitted))):
            self._submit(batch)  # one by one: the first is under way while others are planned

    @lru_cache  # noqa: B019 - of a run, which is all that its process is for
    def _task(self, retries: int) -> Task[[Batch], str]:
        """The task with so many retries left."""
        ours = settings()
        task_of_run = enrich.with_options(
            retries=retries,
            retry_delay_seconds=exponential_backoff(ours.retry_delay_seconds),
            retry_jitter_factor=0.3,
            cache_expiration=timedelta(days=ours.cache_days),
            refresh_cache=self._refreshes,
        )
        # As an option, Prefect takes only a block that its server knows.
        task_of_run.result_storage = self._cache.for_task()
        return task_of_run

    @staticmethod
    def _start_engine() -> None:
        """Start them here, and not in the first of several threads that would all do it."""
        if settings().task_runner is TaskRunnerName.THREADS:
            resources.engine().start()

    def _submit(self, batch: Batch) -> None:
        self._start_engine()
        future = self._task(settings().retries - batch.rounds).submit(batch)
        self._submitted[future] = batch
        future.add_done_callback(self._finished.put)

    def _next_outcomes(self) -> list[Outcome]:
        """Wait for a task run to end; what it leaves of its batch gets another."""
        future = self._finished.get()
        batch = self._submitted.pop(future)
        result: str | BaseException = future.result(raise_on_failure=False)
        if isinstance(result, BatchIncompleteError):
            self._cuts.follow(batch, None)
            # Of a batch that was read in part, Storage did answer: such failures come together,
            # behind what was read, and are no sign of an outage.
            if not batch.is_rest:
                self._unread_in_a_row += len(result.outcomes)
                self._why_unread = result.outcomes[-1].asset.error_message
            return result.outcomes
        if isinstance(result, BaseException):
            raise result
        looked = _looked.decode(result)
        if future.state.name == "Cached":
            self.reused += len(looked.done)
            for outcome in looked.done:  # what this run did: it read nothing
                outcome.bytes_read = 0
                outcome.download_seconds = outcome.probe_seconds = 0.0
            looked.failed, looked.rounds = [], 0  # of another run, some time ago
        else:
            self._unread_in_a_row = 0
        rest = batch.rest(
            {outcome.asset.path for outcome in looked.done}, looked.failed, looked.rounds
        )
        if rest is not None:
            self._submit(rest)
        if not self._refreshes:  # else nothing is looked up
            self._cuts.follow(batch, rest)
        return looked.done
