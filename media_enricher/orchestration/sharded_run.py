"""A sharded run: it starts shards, watches them, and adds up their counters."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

import httpx
import msgspec
from prefect import get_run_logger
from prefect.exceptions import PrefectException

from media_enricher.models import Depth, RunStatus, Selection, Share, StoppedBy
from media_enricher.orchestration import resources
from media_enricher.orchestration.run_budget import split_bytes
from media_enricher.orchestration.shards import (
    Shard,
    cancel_shards,
    find_shards,
    is_being_cancelled,
    start_shard,
)
from media_enricher.shard_stats import ShardStats
from media_enricher.supabase.errors import SupabaseError

_LOOK_SECONDS = 0.8
"""Its counters move at least every second, as those of its shards do."""
_NAMED = 3
_AWAY = (httpx.HTTPError, PrefectException, SupabaseError)


class ShardedRun:
    """A sharded run under way. A context manager: left by a cancellation, it cancels its shards.

    If anything else ends it, the shards continue, and a retry of the run finds them.

    Attributes:
        id: the id of the Prefect flow run.
        stats: the sums of the shards' counters.
        shards: the shards in the order of their ranges, as Prefect last reported them.
        is_stopped_by_budget: whether the budget of a shard had no room for some of its objects.
    """

    def __init__(
        self,
        run_id: str,
        selection: Selection,
        inherited: Mapping[str, str],
        *,
        attempt: int,
        max_bytes: int | None = None,
    ) -> None:
        """Create the run; start nothing yet.

        Args:
            run_id: the id of the Prefect flow run.
            selection: the objects to process.
            inherited: the labels that the shards inherit.
            attempt: the number of this attempt at the run, from 1.
            max_bytes: the bytes that all shards together may read; None for any number.
        """
        self.id = run_id
        self.selection = selection
        self.stats = ShardStats()
        self.shards: list[Shard] = []
        self._labels = inherited
        self._attempt = attempt
        self._max_bytes = max_bytes
        self.is_stopped_by_budget = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if kind is None or issubclass(kind, Exception):
            return
        try:
            # The signal of a cancellation may also mean a shutdown of the machine: ask Prefect.
            if kind is KeyboardInterrupt or is_being_cancelled(self.id):
                cancel_shards(self.id)
        except _AWAY as error:
            get_run_logger().error("could not cancel all shards: %s", error)

    def resume(self) -> Selection | None:
        """Find the shards that an earlier attempt started, and restart those that failed.

        Returns:
            The part of the selection that no shard covers yet; None if the shards cover it all.

        Raises:
            UnknownDeploymentError: there is no deployment to start.
            httpx.HTTPError, PrefectApiError: Prefect does not respond.
            SupabaseError: Supabase does not respond.
        """
        self.shards = [self._again(shard) for shard in find_shards(self.id)]
        if not self.shards:
            return self.selection
        after = self.shards[-1].until
        if after == self.selection.until:
            return None
        return msgspec.structs.replace(self.selection, after=after)

    def start(self, rest: Selection, shares: Sequence[Share]) -> None:
        """Start one shard for each share of the rest.

        Args:
            rest: what `resume` returned.
            shares: the shares of it, in the order of their paths.

        Raises:
            UnknownDeploymentError: there is no deployment to start.
            PrefectApiError: Prefect does not respond.
            SupabaseError: Supabase does not respond.
        """
        started, after = len(self.shards), rest.after
        budgets = self._budgets(shares)
        for number, share in enumerate(shares, start=started + 1):
            is_last = number == started + len(shares)
            until = rest.until if is_last else share.until
            budget = budgets[number - started - 1]
            self.shards.append(self._start(number, after, until, budget))
            get_run_logger().info(
                "shard %s: %s objects after %r, run %s",
                number,
                f"{share.objects:,}",
                after,
                self.shards[-1].flow_run.id,
            )
            after = until
        resources.run_table().record(self.id, **self.stats.counters())

    def watch(self) -> Iterator[None]:
        """Look at the shards about every second until all have ended; yield after each look."""
        while True:
            self._look()
            yield
            if all(shard.has_ended for shard in self.shards):
                return
            time.sleep(_LOOK_SECONDS)

    def settle(self) -> None:
        """Record what kept the shards from objects, or else that they have done all there was.

        Raises:
            SupabaseError: Supabase does not respond.
        """
        if self.is_stopped_by_budget:
            resources.run_table().record(self.id, stopped_by=StoppedBy.MAX_BYTES)
        elif all(shard.has_completed for shard in self.shards) and self.stats.settle():
            resources.run_table().record(self.id, settle_total=True)

    def summary(self) -> str:
        """What the shards did, for people."""
        stopped = (
            f"; stopped by max_bytes = {self._max_bytes:,}" if self.is_stopped_by_budget else ""
        )
        return self.stats.summary() + stopped

    def failure_reason(self) -> str | None:
        """The shards that did not complete, and why; None if all completed."""
        lost = [shard for shard in self.shards if not shard.has_completed]
        if not lost:
            return None
        named = [
            f"shard {shard.number} of {len(self.shards)} {shard.outcome}" for shard in lost[:_NAMED]
        ]
        return "; ".join(named + [f"and {len(lost) - _NAMED} more"] * (len(lost) > _NAMED))

    def _again(self, shard: Shard) -> Shard:
        if not shard.has_ended or shard.has_completed:
            return shard
        max_bytes = shard.max_bytes
        if max_bytes is not None and (row := resources.run_table().get(str(shard.flow_run.id))):
            max_bytes = max(1, max_bytes - row.bytes_read)
        return self._start(shard.number, shard.after, shard.until, max_bytes)

    def _budgets(self, shares: Sequence[Share]) -> list[int | None]:
        """The budgets of new shards: what those before them were not given, by their work."""
        if self._max_bytes is None:
            return [None] * len(shares)
        left = self._max_bytes - sum(shard.max_bytes or 0 for shard in self.shards)
        is_header = self.selection.depth is Depth.HEADER
        return list(
            split_bytes(left, [each.objects if is_header else each.size_bytes for each in shares])
        )

    def _start(self, number: int, after: str, until: str, max_bytes: int | None) -> Shard:
        in_range = msgspec.structs.replace(self.selection, after=after, until=until)
        return start_shard(
            self.id, number, in_range, self._labels, attempt=self._attempt, max_bytes=max_bytes
        )

    def _look(self) -> None:
        """Update shards and counters. An error is logged, and the next call tries again."""
        runs = resources.run_table()
        try:
            self.shards = find_shards(self.id)
            rows = runs.shards(self.id)
            self.stats.add_up(rows)
            self.is_stopped_by_budget = any(row.stopped_by for row in rows)
            runs.record(self.id, **self.stats.counters())
            ended = {str(shard.flow_run.id): shard for shard in self.shards if shard.has_ended}
            for row in rows:
                if row.status is RunStatus.QUEUED and row.id in ended:
                    self._settle(ended[row.id])
        except _AWAY as error:
            get_run_logger().warning("could not read the progress of the shards: %s", error)

    @staticmethod
    def _settle(shard: Shard) -> None:
        """Record the end of a shard that never began running, because no hook does."""
        if state := shard.flow_run.state:
            resources.run_table().record(
                str(shard.flow_run.id),
                status=RunStatus(state.type.value.lower()),
                error=state.message,
            )
