"""Watching runs: the list, one run, what it found, its snapshot; and cancelling one."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from media_enricher.gateway import documents
from media_enricher.gateway.answers import (
    Asset,
    Assets,
    Buckets,
    FailureReason,
    Me,
    RunDetails,
    RunRecord,
    Runs,
    Snapshot,
    SnapshotPart,
)
from media_enricher.gateway.callers import Caller
from media_enricher.gateway.desk import AtDesk, Desk, SignedIn
from media_enricher.gateway.errors import Refusal
from media_enricher.gateway.permissions import (
    View,
    columns,
    may_see_all,
    may_see_objects,
    may_trigger,
    require_may_trigger,
    run_scope,
    visible,
)
from media_enricher.models import AssetStatus, EnrichRun, RunStatus
from media_enricher.parameters import BucketName
from media_enricher.run_stats import pace
from media_enricher.snapshot.layout import part_number
from media_enricher.snapshot.targets import BUCKET_SCHEME

router = APIRouter(
    prefix="/media-enricher",
    tags=["runs"],
    responses=documents.errors(401, 403, 422, 429, 503),
    dependencies=[documents.BEARER_TOKEN],
)


class RunsQuery(BaseModel):
    """Which runs to list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=20, ge=1, le=100, description="How many, the newest first.")
    bucket: BucketName | None = Field(default=None, description="Only those over this bucket.")
    status: RunStatus | None = Field(default=None, description="Only those with this status.")


class AssetsQuery(BaseModel):
    """Which of a run's assets to list."""

    model_config = ConfigDict(extra="forbid")

    after: str = Field(
        default="", max_length=1024, description="The `next` of the page before this one."
    )
    limit: int = Field(default=24, ge=1, le=100, description="How many, in the order of paths.")
    status: AssetStatus | None = Field(default=None, description="Only those that ended so.")


@router.get("/me", summary="Who am I, and what may I do?")
async def me(desk: AtDesk, caller: SignedIn) -> Me:
    """For a page to show what its user may do. Any valid token will do."""
    return Me(
        role=caller.role,
        user_id=caller.user_id,
        tenant_id=caller.tenant_id,
        may_trigger=may_trigger(caller, desk.settings),
        may_see_all=may_see_all(caller),
    )


async def _admitted(desk: AtDesk, caller: SignedIn) -> Caller:
    """A caller who may start runs, and so may watch them."""
    require_may_trigger(caller, desk.settings)
    return caller


Admitted = Annotated[Caller, Depends(_admitted)]


class Seen(msgspec.Struct, frozen=True):
    """A run, and how much of it the caller sees."""

    run: EnrichRun
    view: View

    def require_whole(self) -> EnrichRun:
        """The run, for those who may do something about it.

        Raises:
            Refusal: 403; it was asked for by somebody else.
        """
        if self.view is not View.WHOLE:
            raise Refusal(403, "not_yours", f"Run {self.run.id} was started by somebody else.")
        return self.run


async def _seen(run_id: UUID, desk: AtDesk, caller: Admitted) -> Seen:
    """The run of the path.

    Raises:
        Refusal: 404; there is none, or the caller may not know of it.
    """
    found = await desk.blocking(lambda: desk.runs.get(str(run_id)))
    view = visible(found, caller) if found else None
    if found is not None and view is None and await desk.was_told(caller, found.id):
        view = View.PROGRESS
    if found is None or view is None:
        raise Refusal(404, "unknown_run", f"There is no run {run_id} that you may see.")
    return Seen(found, view)


ThisRun = Annotated[Seen, Depends(_seen)]


async def _opened(seen: ThisRun, caller: Admitted) -> EnrichRun:
    """The run of the path, for those who may look at its objects.

    Raises:
        Refusal: 403.
    """
    if not may_see_objects(seen.run, caller):
        raise Refusal(
            403,
            "not_admin",
            "What a run found is shown to admins. Read your own rows of media_assets with "
            "supabase-js.",
        )
    return seen.run


OpenedRun = Annotated[EnrichRun, Depends(_opened)]


@router.get("/buckets", summary="The buckets that can be worked on")
async def buckets(request: Request, desk: AtDesk, caller: Admitted) -> Buckets:
    """All but the one that snapshots are kept in; to who is no admin, those they know of."""
    return Buckets(buckets=await desk.territory.buckets(request, caller))


@router.get("/runs", summary="The latest runs")
async def runs(desk: AtDesk, caller: Admitted, query: Annotated[RunsQuery, Query()]) -> Runs:
    """Those that the caller may see, the newest first, with their pace."""
    scope = run_scope(caller)
    found = await desk.blocking(
        lambda: desk.runs.recent(query.limit, bucket=query.bucket, status=query.status, **scope)
    )
    seen = [Seen(each, view) for each in found if (view := visible(each, caller))]
    return Runs(runs=[_record(desk, each) for each in seen])


@router.get(
    "/runs/{run_id}", summary="One run, and why objects failed", responses=documents.errors(404)
)
async def run(desk: AtDesk, caller: Admitted, seen: ThisRun) -> RunDetails:
    """What `status_url` points to. Poll it every few seconds."""
    details = RunDetails.model_validate(_record(desk, seen).model_dump())
    if may_see_objects(seen.run, caller):
        failures = await desk.blocking(lambda: desk.assets.failures_by_reason(seen.run.id))
        details.failures = [FailureReason(**msgspec.structs.asdict(each)) for each in failures]
    return details


@router.post(
    "/runs/{run_id}/cancel",
    status_code=202,
    summary="Stop a run",
    responses=documents.errors(404, 409),
)
async def cancel(desk: AtDesk, seen: ThisRun) -> RunRecord:
    """Ask the run to stop, which takes it some seconds. What is done stays."""
    found = seen.require_whole()
    if found.finished_at is not None:
        raise _has_ended(found)
    ending = await desk.prefect.cancel(found.id)
    if ending is None:
        raise Refusal(
            409,
            "unknown_to_prefect",
            f"Prefect does not know run {found.id}: it was started against another server.",
        )
    if ending.status is not None:  # it had not begun, so no hook tells the table
        found = await desk.blocking(
            lambda: desk.runs.record(found.id, status=ending.status, error=ending.message)
        )
        if found.status is not RunStatus.CANCELLED:
            raise _has_ended(found)
    return _record(desk, Seen(found, seen.view))


@router.get("/runs/{run_id}/assets", summary="What a run found", responses=documents.errors(404))
async def assets(desk: AtDesk, found: OpenedRun, query: Annotated[AssetsQuery, Query()]) -> Assets:
    """The objects that were last worked on by this run, with signed URLs of their pictures."""
    rows = await desk.blocking(
        lambda: desk.assets.of_run(
            found.id, Asset.columns(), after=query.after, limit=query.limit, status=query.status
        )
    )
    paths = [row["path"] for row in rows]
    urls = await desk.blocking(
        lambda: desk.bucket(found.bucket).sign(paths, desk.settings.picture_seconds)
    )
    return Assets(
        assets=[Asset(**row, picture_url=urls.get(row["path"])) for row in rows],
        next=paths[-1] if len(rows) == query.limit else None,
    )


@router.get(
    "/runs/{run_id}/snapshot", summary="The audit snapshot", responses=documents.errors(404)
)
async def snapshot(desk: AtDesk, found: OpenedRun) -> Snapshot:
    """The Parquet files that say what the run did to each object; of a folder, where it is."""
    path = found.snapshot_path
    if path is None or not path.startswith(BUCKET_SCHEME):
        return Snapshot(path=path, parts=[])
    name, _, folder = path.removeprefix(BUCKET_SCHEME).partition("/")

    def signed() -> dict[str, str]:
        bucket = desk.bucket(name)
        paths = bucket.list(f"{folder}/")
        recorded = [path for path in paths if part_number(PurePosixPath(path).name) is not None]
        return bucket.sign(recorded, desk.settings.picture_seconds)

    urls = await desk.blocking(signed)
    parts = [SnapshotPart(name=PurePosixPath(part).name, url=url) for part, url in urls.items()]
    return Snapshot(path=path, parts=parts)


def _record(desk: Desk, seen: Seen) -> RunRecord:
    is_whole = seen.view is View.WHOLE
    return RunRecord(
        **columns(seen.run, seen.view),
        **msgspec.structs.asdict(pace(seen.run)),
        prefect_url=desk.prefect.run_url(seen.run.id) if is_whole else None,
    )


def _has_ended(found: EnrichRun) -> Refusal:
    return Refusal(
        409,
        "run_has_ended",
        f"Run {found.id} has ended already: it is {found.status}.",
        status=found.status,
    )
