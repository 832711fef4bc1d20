"""Maps `enrich` over the batches of a run, and hands over what was found, list by list."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache
from queue import SimpleQueue
from types import TracebackType
from typing import NamedTuple, Self

import msgspec
from prefect import Task, get_run_logger
from prefect.futures import PrefectFuture
from prefect.tasks import exponential_backoff

from media_enricher.batching import Batch, Looked
from media_enricher.engine import sandbox
from media_enricher.models import Mode, Outcome
from media_enricher.orchestration import resources
from media_enricher.orchestration.batch_cuts import Cuts
from media_enricher.orchestration.prefetching import Prefetched
from media_enricher.orchestration.run_budget import RunBudget
from media_enricher.orchestration.task_cache import TaskCache
from media_enricher.settings import TaskRunnerName, settings
from media_enricher.supabase.ledgers import PART_ROWS
from process_control.processes import kill_workers
from tasks.enrich import GRACE_SECONDS, AllowanceUsedUpError, BatchIncompleteError, enrich

LISTS_AHEAD = 4
"""So many lists of outcomes wait at most while others are written. It takes up to three round trips
to write a list, and meanwhile the engine is to be given what it reads next."""

OUTAGE_OBJECTS = 500
"""After so many objects in a row, in batches of which nothing could be read, retries included, the
run stops."""

_looked = msgspec.json.Decoder(Looked)


class OutageError(Exception):
    """Storage has stopped answering. To go on would only mark every object as failed."""


class _Finished(NamedTuple):
    """Outcomes to be written, once the bounds of their batches are stored."""

    outcomes: list[Outcome]
    noted: Future[None] | None


class Enrichment:
    """Maps `enrich` over the batches of a run, with a bounded number of them in flight.

    A thread submits batches and waits for them, so that the engine goes on while outcomes are
    written, however far away the database is.

    A context manager. If it is left normally or by an error, the batches in flight finish, so that
    what was read is in the cache. If it is left by a signal (`KeyboardInterrupt`, Prefect's
    `TerminationSignal`), it stops the engine at once.
    """

    def __init__(self, mode: Mode, *, start_engine: bool = True) -> None:
        """Configure the task for this run.

        Args:
            mode: `failed` and `all` ignore cached results.
            start_engine: start it at once, while the run is planned. If false, it starts with the
                first batch, if there is one, with one worker for the first object.
        """
        self._cache = TaskCache()
        self._starts_engine = start_engine
        self._window = settings().batches_in_flight
        self._finished: SimpleQueue[PrefectFuture[str]] = SimpleQueue()
        self._refreshes = mode in (Mode.FAILED, Mode.ALL)
        self._submitted: dict[PrefectFuture[str], Batch] = {}
        self._waiting: deque[Batch] = deque()
        self._budget: RunBudget | None = None
        self._cuts = Cuts()
        self._outcomes: Prefetched[_Finished] | None = None
        self._is_leaving = False
        self._unread_in_a_row = 0
        self._last_error: str | None = None
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
        self._is_leaving = True
        if self._outcomes is not None:
            self._outcomes.stop()
        try:
            if interrupted:
                if settings().task_runner is TaskRunnerName.PROCESSES:
                    kill_workers()  # a cluster drops the tasks of a run that ended
            else:
                if self._outcomes is not None:
                    self._outcomes.wait()
                while self._submitted:
                    with suppress(Exception):  # the first error is the one to report
                        self._next_outcomes()
        finally:
            resources.close_engine()

    def map(
        self, batches: Iterator[Batch], budget: RunBudget | None = None
    ) -> Iterator[list[Outcome]]:
        """Enrich batches as they come, and yield the outcomes of those that finished meanwhile.

        Ends with the batches, or before them when the budget has no room for the next object. The
        batches are cut by another thread.

        Raises:
            OutageError: the last `OUTAGE_OBJECTS` objects could not be read. Their outcomes were
                yielded.
            Exception: whatever made a task run fail, other than objects that could not be read.
        """
        self._budget = budget
        self._outcomes = Prefetched(self._enriched(batches), ahead=LISTS_AHEAD)
        return self._joined(self._outcomes)

    def _joined(self, lists: Prefetched[_Finished]) -> Iterator[list[Outcome]]:
        """Join lists that come within `GRACE_SECONDS` of the one before, up to a part.

        Each takes a task run to write: for 50,000 headers there were 25 to 28, and now 16. The
        first list and the last do not wait.
        """
        following = next(lists, None)
        join_until = 0.0
        while following is not None:
            waiting, rows = [following], len(following.outcomes)
            while following := lists.next_within(join_until - time.monotonic()):
                rows += len(following.outcomes)
                if rows > PART_ROWS:
                    break
                waiting.append(following)
            for each in waiting:
                if each.noted is not None:
                    each.noted.result()
            join_until = time.monotonic() + GRACE_SECONDS
            yield [outcome for each in waiting for outcome in each.outcomes]
            for _ in waiting:  # whoever asks for the next list has written this one
                self._cuts.written()
            following = following or next(lists, None)
        self._cuts.wait()

    def _enriched(self, batches: Iterator[Batch]) -> Iterator[_Finished]:
        self._submit_from(batches)
        while self._submitted:
            outcomes = self._next_outcomes()
            while not self._finished.empty():
                outcomes += self._next_outcomes()
            error: Exception | None = None
            try:
                self._submit_from(batches)  # first, so that the engine goes on with them
            except Exception as planning:  # noqa: BLE001 - raised once the outcomes are written
                error = planning
            yield _Finished(outcomes, self._cuts.note())
            if error is not None:
                raise error
            if self._unread_in_a_row >= OUTAGE_OBJECTS:
                raise OutageError(
                    f"the last {self._unread_in_a_row:,} objects could not be read "
                    f"({self._last_error}). Start the run again once Storage answers."
                )

    def _submit_from(self, batches: Iterator[Batch]) -> None:
        """Submit one by one, so that the first is in work while the next are planned."""
        while len(self._submitted) < self._window and (batch := self._next_batch(batches)):
            self._submit(batch)

    def _next_batch(self, batches: Iterator[Batch]) -> Batch | None:
        """The batch to submit next; None if there is no more, or no room in the budget now."""
        if self._is_leaving:
            return None
        batch = self._waiting.popleft() if self._waiting else next(batches, None)
        if batch is None or self._budget is None or self._budget.lend(batch):
            return batch
        self._waiting.appendleft(batch)  # what is in work may give back some of what it was lent
        return None

    @lru_cache  # noqa: B019 - there is one per process, which ends with its run
    def _task(self, retries: int, refresh: bool) -> Task[[Batch], str]:
        """The task, with so many retries left. With `refresh`, it ignores a stored result."""
        current = settings()
        task_of_run = enrich.with_options(
            retries=retries,
            retry_delay_seconds=exponential_backoff(current.retry_delay_seconds),
            retry_jitter_factor=0.3,
            cache_expiration=timedelta(days=current.cache_days),
            refresh_cache=refresh,
        )
        # Not an option: there, Prefect takes only a block that its server knows.
        task_of_run.result_storage = self._cache.for_task()
        return task_of_run

    def _start_engine(self) -> None:
        """Start the engine in this thread, before several task threads would all do it."""
        if settings().task_runner is TaskRunnerName.THREADS:
            resources.engine().start(None if self._starts_engine else 1)

    def _submit(
        self, batch: Batch, *, refresh: bool = False, rest_of: PrefectFuture[str] | None = None
    ) -> None:
        """Submit a batch: if it is a rest, to the worker of Dask's that has it in work.

        Dask runs a task where the result is of what it waits for. Other workers would read again
        what that one is reading: of 16,000 objects, two workers read 2,400 twice.
        """
        self._start_engine()
        retries = settings().retries - batch.rounds
        task_of_run = self._task(retries, refresh or self._refreshes)
        is_bound = rest_of is not None and settings().task_runner is TaskRunnerName.DASK
        after = [rest_of] if is_bound else None
        future = task_of_run.submit(batch, wait_for=after, return_state=False)
        self._submitted[future] = batch
        future.add_done_callback(self._finished.put)

    def _next_outcomes(self) -> list[Outcome]:
        """Wait for a task run to end. What it left of its batch goes to another task run."""
        future = self._finished.get()
        batch = self._submitted.pop(future)
        result: str | BaseException = future.result(raise_on_failure=False)
        if isinstance(result, AllowanceUsedUpError):
            self._take_back(batch, [], rest=batch)
            return []
        if isinstance(result, BatchIncompleteError):
            return self._unread(batch, result.outcomes)
        if isinstance(result, BaseException):
            raise result
        looked = _looked.decode(result)
        is_cached = future.state.name == "Cached"
        if mismatch := batch.mismatch(looked):
            if not is_cached:
                raise ValueError(f"the result of batch {batch} is of other objects: {mismatch}")
            get_run_logger().warning(
                "cannot use the stored result of batch %s: %s. Its objects are enriched again.",
                batch,
                mismatch,
            )
            self._submit(batch, refresh=True)
            return []
        if is_cached:
            self.reused += len(looked.done)
            for outcome in looked.done:  # this run read nothing of it
                outcome.bytes_read = 0
                outcome.download_seconds = outcome.probe_seconds = 0.0
            looked.failed, looked.rounds = [], 0  # failures of an earlier run
            looked.is_cut_short = False  # by its budget
        else:
            self._unread_in_a_row = 0
        if looked.is_cut_short:  # the budget may end here: then nobody would read them again
            looked.done, looked.failed = looked.done + looked.failed, []
        rest = batch.rest(
            {outcome.asset.path for outcome in looked.done}, looked.failed, looked.rounds
        )
        if rest is None or looked.is_cut_short:
            self._take_back(batch, looked.done, rest)
        else:
            rest.subtract(looked.done)
            self._submit(rest, rest_of=future)
        if not self._refreshes:  # else no cached result is looked up
            self._cuts.follow(batch, rest)
        return looked.done

    def _unread(self, batch: Batch, outcomes: list[Outcome]) -> list[Outcome]:
        """Settle a batch of which nothing could be read, retries included."""
        rest = batch.rest({outcome.asset.path for outcome in outcomes}, [], rounds=0)
        self._take_back(batch, outcomes, rest)
        self._cuts.follow(batch, rest)
        # The rest of a batch does not count: Storage did answer for the other objects, and its
        # failures come together, after what was read. They are no sign of an outage.
        if not batch.is_rest:
            self._unread_in_a_row += len(outcomes)
            self._last_error = outcomes[-1].asset.error_message
        return outcomes

    def _take_back(self, batch: Batch, outcomes: list[Outcome], rest: Batch | None) -> None:
        """Settle what a batch was lent. Its rest waits for its turn, if there is one."""
        if self._budget is not None:
            self._budget.take_back(batch, sum(outcome.bytes_read for outcome in outcomes))
        if rest is not None:
            self._waiting.append(rest)
