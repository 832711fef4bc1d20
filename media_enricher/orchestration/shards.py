"""The shards of a run: other runs of `backfill` in Prefect, each on a range of paths.

A tag with the parent's id identifies them, so it does not matter which process, in which attempt at
the parent, started them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelling

from media_enricher import labels
from media_enricher.models import FlowName, RunStatus, Selection
from media_enricher.orchestration import resources
from media_enricher.orchestration.prefect_api import start_deployment
from media_enricher.settings import settings


class Shard(NamedTuple):
    """A range of paths, and the latest run that processes it.

    Attributes:
        number: from 1, in the order of the ranges.
        after: the path before the range (exclusive); empty for the first shard.
        until: the last path of the range (inclusive); empty for the last shard.
        flow_run: the run as Prefect last reported it.
        max_bytes: the bytes that this run may read; None for any number.
    """

    number: int
    after: str
    until: str
    flow_run: FlowRun
    max_bytes: int | None = None

    @classmethod
    def of(cls, number: int, flow_run: FlowRun) -> Self:
        """The shard that a run of `backfill` processes."""
        parameters = flow_run.parameters
        return cls(
            number,
            parameters["after"],
            parameters["until"],
            flow_run,
            parameters.get("max_bytes"),
        )

    @property
    def has_ended(self) -> bool:
        """Whether its run has ended, in whatever state."""
        return self.flow_run.state is not None and self.flow_run.state.is_final()

    @property
    def has_completed(self) -> bool:
        """Whether its range is processed."""
        return self.flow_run.state is not None and self.flow_run.state.is_completed()

    @property
    def outcome(self) -> str:
        """For people: `failed (none of 12 objects could be read)`."""
        state = self.flow_run.state
        if state is None:
            return "has no state"
        return f"{state.type.value.lower()} ({state.message or 'no message'})"


def find_shards(parent_id: str) -> list[Shard]:
    """The shards of a run that any attempt at it has started so far.

    Raises:
        httpx.HTTPError: Prefect does not respond.
    """
    with get_client(sync_client=True) as prefect:
        latest = {run.parameters["after"]: run for run in _runs_of(prefect, parent_id)}
    in_order = sorted(latest, key=str.encode)
    return [Shard.of(number, latest[after]) for number, after in enumerate(in_order, start=1)]


def start_shard(
    parent_id: str,
    number: int,
    selection: Selection,
    inherited: Mapping[str, str],
    *,
    attempt: int,
    max_bytes: int | None = None,
) -> Shard:
    """Start a run on the range of a selection, and create its row.

    Args:
        parent_id: the id of the sharded run.
        number: the number of the shard.
        selection: the range to process.
        inherited: the labels that the shard takes over from its parent.
        attempt: the number of the attempt at the parent; each may start a shard once.
        max_bytes: the bytes that the shard may read; None for any number.

    Raises:
        UnknownDeploymentError: there is no deployment of the name in the settings.
        PrefectApiError: Prefect does not respond.
        SupabaseError: the run table did not accept the row.
    """
    parameters: dict[str, Any] = {
        "bucket": selection.bucket,
        "prefix": selection.prefix,
        "mode": selection.mode.value,
        "depth": selection.depth.value,
        "after": selection.after,
        "until": selection.until,
        "max_bytes": max_bytes,
    }
    flow_run = start_deployment(
        settings().backfill_deployment,
        parameters,
        idempotency_key=f"{parent_id}/{attempt}/{number}",
        labels={**inherited, labels.PARENT_RUN_ID: parent_id},
        tags=[_tag(parent_id), f"shard {number}"],
    )
    resources.run_table().record(
        str(flow_run.id),
        flow=FlowName.BACKFILL,
        bucket=selection.bucket,
        prefix=selection.prefix,
        mode=selection.mode,
        depth=selection.depth,
        max_bytes=max_bytes,
        trigger=inherited.get(labels.TRIGGER),
        requested_by=inherited.get(labels.REQUESTED_BY),
        tenant_id=inherited.get(labels.TENANT_ID),
        parent_run_id=parent_id,
    )
    return Shard.of(number, flow_run)


def cancel_shards(parent_id: str) -> None:
    """Ask Prefect to cancel the shards that are under way, as its UI does.

    Raises:
        httpx.HTTPError: Prefect does not respond.
        SupabaseError: the run table did not accept the end of a shard.
    """
    with get_client(sync_client=True) as prefect:
        for flow_run in _runs_of(prefect, parent_id):
            state = flow_run.state
            if state and (state.is_final() or state.is_cancelling()):
                continue
            now: State[Any] | None = prefect.set_flow_run_state(flow_run.id, Cancelling()).state
            if now and now.is_cancelled():  # no worker had started it, so no hook records its end
                resources.run_table().record(
                    str(flow_run.id), status=RunStatus.CANCELLED, error=now.message
                )


def is_being_cancelled(run_id: str) -> bool:
    """Whether Prefect was asked to cancel a run.

    Raises:
        httpx.HTTPError: Prefect does not respond.
    """
    with get_client(sync_client=True) as prefect:
        state = prefect.read_flow_run(UUID(run_id)).state
    return state is not None and (state.is_cancelling() or state.is_cancelled())


def _runs_of(prefect: SyncPrefectClient, parent_id: str) -> list[FlowRun]:
    """All runs that were started as shards of a run, oldest first."""
    with_tag = FlowRunFilter(tags=FlowRunFilterTags(all_=[_tag(parent_id)]))
    found: list[FlowRun] = []
    while page := prefect.read_flow_runs(
        flow_run_filter=with_tag, sort=FlowRunSort.ID_DESC, offset=len(found)
    ):
        found += page
    return sorted(found, key=lambda run: run.created or datetime.max.replace(tzinfo=UTC))


def _tag(parent_id: str) -> str:
    return f"shard of {parent_id}"
