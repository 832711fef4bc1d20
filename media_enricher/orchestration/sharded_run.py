"""A run that has others do the work: it starts them, watches them, and adds them up."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

import httpx
import msgspec
from prefect import get_run_logger
from prefect.exceptions import PrefectException

from media_enricher.models import RunStatus, Selection, Share
from media_enricher.orchestration import resources
from media_enricher.orchestration.shards import (
    Shard,
    cancel_shards,
    find_shards,
    is_being_cancelled,
    start_shard,
)
from media_enricher.shard_stats import ShardStats
from media_enricher.supabase.errors import SupabaseError

_LOOK_SECONDS = 2.0
_NAMED = 3
_AWAY = (httpx.HTTPError, PrefectException, SupabaseError)


class ShardedRun:
    """A sharded run under way. A context manager: left by a cancellation, it cancels its shards.

    Whatever else ends it, they go on, and a retry of the same run finds them again.

    Attributes:
        id: that of the Prefect flow run.
        stats: what the shards have done.
        shards: in the order of their ranges, as Prefect had them at the last look.
    """

    def __init__(
        self, run_id: str, selection: Selection, told: Mapping[str, str], *, attempt: int
    ) -> None:
        """Nothing is started yet.

        Args:
            run_id: of the Prefect flow run.
            selection: what is to be done.
            told: the labels that the shards inherit.
            attempt: how often Prefect has run this run, this time included.
        """
        self.id = run_id
        self.selection = selection
        self.stats = ShardStats()
        self.shards: list[Shard] = []
        self._told = told
        self._attempt = attempt

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
            # A supervisor cancels by a signal that may as well mean the end of the machine.
            if kind is KeyboardInterrupt or is_being_cancelled(self.id):
                cancel_shards(self.id)
        except _AWAY as error:
            get_run_logger().error("not all shards could be cancelled: %s", error)

    def resume(self) -> Selection | None:
        """Find the shards that an earlier attempt has started, and start again those that failed.

        Returns:
            What no shard is at yet; None if the shards there are have it all.

        Raises:
            UnknownDeploymentError: there is no deployment to start.
            httpx.HTTPError, PrefectApiError: Prefect is away.
            SupabaseError: Supabase does not answer.
        """
        self.shards = [self._again(shard) for shard in find_shards(self.id)]
        if not self.shards:
            return self.selection
        after = self.shards[-1].until
        if after == self.selection.until:
            return None
        return msgspec.structs.replace(self.selection, after=after)

    def start(self, rest: Selection, shares: Sequence[Share]) -> None:
        """Start a shard on each share of the rest.

        Args:
            rest: what `resume` has returned.
            shares: of it, in the order of their paths.

        Raises:
            UnknownDeploymentError: there is no deployment to start.
            PrefectApiError: Prefect is away.
            SupabaseError: Supabase does not answer.
        """
        started, after = len(self.shards), rest.after
        for number, share in enumerate(shares, start=started + 1):
            is_last = number == started + len(shares)
            until = rest.until if is_last else share.until
            self.shards.append(self._start(number, after, until))
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
        """Look at the shards every few seconds until all have ended; yield after each look."""
        while True:
            self._look()
            yield
            if all(shard.has_ended for shard in self.shards):
                return
            time.sleep(_LOOK_SECONDS)

    def summary(self) -> str:
        """What the shards did, for people."""
        return self.stats.summary()

    def failure_reason(self) -> str | None:
        """Which shards did not complete, and why; None if all did."""
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
        return self._start(shard.number, shard.after, shard.until)

    def _start(self, number: int, after: str, until: str) -> Shard:
        in_range = msgspec.structs.replace(self.selection, after=after, until=until)
        return start_shard(self.id, number, in_range, self._told, attempt=self._attempt)

    def _look(self) -> None:
        """See how the shards get on; what does not answer now may do so at the next look."""
        runs = resources.run_table()
        try:
            self.shards = find_shards(self.id)
            rows = runs.shards(self.id)
            self.stats.add_up(rows)
            runs.record(self.id, **self.stats.counters())
            ended = {str(shard.flow_run.id): shard for shard in self.shards if shard.has_ended}
            for row in rows:
                if row.status is RunStatus.QUEUED and row.id in ended:
                    self._settle(ended[row.id])
        except _AWAY as error:
            get_run_logger().warning("cannot see how the shards get on: %s", error)

    @staticmethod
    def _settle(shard: Shard) -> None:
        """Record the end of a shard that ended before it began, as no hook does."""
        if state := shard.flow_run.state:
            resources.run_table().record(
                str(shard.flow_run.id),
                status=RunStatus(state.type.value.lower()),
                error=state.message,
            )
