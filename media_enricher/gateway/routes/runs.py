"""Watching runs: the list, one run, its objects and its snapshot; and cancelling one."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request

from media_enricher.gateway import openapi
from media_enricher.gateway.auth import Caller
from media_enricher.gateway.dependencies import Dependencies, Deps, SignedIn
from media_enricher.gateway.errors import ApiError
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
from media_enricher.gateway.schemas.requests import AssetsQuery, RunsQuery
from media_enricher.gateway.schemas.responses import (
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
from media_enricher.models import EnrichRun, RunStatus
from media_enricher.run_stats import speed_of
from media_enricher.snapshot.layout import part_number
from media_enricher.snapshot.targets import BUCKET_SCHEME

router = APIRouter(
    prefix="/media-enricher",
    tags=["runs"],
    responses=openapi.error_responses(401, 403, 422, 429, 503),
    dependencies=[openapi.BEARER_TOKEN],
)


@router.get("/me", summary="Who am I, and what may I do?")
async def me(deps: Deps, caller: SignedIn) -> Me:
    """For a page to show what its user may do. Any valid token is accepted."""
    return Me(
        role=caller.role,
        user_id=caller.user_id,
        tenant_id=caller.tenant_id,
        may_trigger=may_trigger(caller, deps.settings),
        may_see_all=may_see_all(caller),
    )


async def _admitted(deps: Deps, caller: SignedIn) -> Caller:
    """A caller who may start runs, and so may watch them."""
    require_may_trigger(caller, deps.settings)
    return caller


Admitted = Annotated[Caller, Depends(_admitted)]


class VisibleRun(msgspec.Struct, frozen=True):
    """A run, and how much of it the caller sees."""

    run: EnrichRun
    view: View

    def require_whole(self) -> EnrichRun:
        """The run, for callers who may cancel it.

        Raises:
            ApiError: 403; it was asked for by somebody else.
        """
        if self.view is not View.WHOLE:
            raise ApiError(
                403,
                "not_yours",
                f"Run {self.run.id} was started by somebody else. Only its owner or an admin may "
                "cancel it.",
            )
        return self.run


async def _visible_run(run_id: UUID, deps: Deps, caller: Admitted) -> VisibleRun:
    """The run of the path.

    Raises:
        ApiError: 404; there is none, or the caller may not know of it.
    """
    found = await deps.in_thread(lambda: deps.runs.get(str(run_id)))
    view = visible(found, caller) if found else None
    if found is not None and view is None and await deps.was_answered_with(caller, found.id):
        view = View.PROGRESS
    if found is None or view is None:
        raise ApiError(404, "unknown_run", f"There is no run {run_id}, or you may not see it.")
    return VisibleRun(found, view)


RequestedRun = Annotated[VisibleRun, Depends(_visible_run)]


async def _run_with_objects(seen: RequestedRun, caller: Admitted) -> EnrichRun:
    """The run of the path, for those who may look at its objects.

    Raises:
        ApiError: 403.
    """
    if not may_see_objects(seen.run, caller):
        raise ApiError(
            403,
            "not_admin",
            "Only admins may see the objects of a run. Read your own rows of media_assets with "
            "supabase-js.",
        )
    return seen.run


RunWithObjects = Annotated[EnrichRun, Depends(_run_with_objects)]


@router.get("/buckets", summary="The buckets that can be enriched")
async def buckets(request: Request, deps: Deps, caller: Admitted) -> Buckets:
    """All but Media Enricher's own buckets. Users who are no admins get those they may know of."""
    return Buckets(buckets=await deps.storage_access.buckets(request, caller))


@router.get("/runs", summary="The latest runs")
async def runs(deps: Deps, caller: Admitted, query: Annotated[RunsQuery, Query()]) -> Runs:
    """The runs that the caller may see, the newest first, with their speed."""
    scope = run_scope(caller)
    found = await deps.in_thread(
        lambda: deps.runs.recent(query.limit, bucket=query.bucket, status=query.status, **scope)
    )
    seen = [VisibleRun(each, view) for each in found if (view := visible(each, caller))]
    return Runs(runs=[_record(deps, each) for each in seen])


@router.get(
    "/runs/{run_id}",
    summary="One run, and why objects failed",
    responses=openapi.error_responses(404),
)
async def run(deps: Deps, caller: Admitted, seen: RequestedRun) -> RunDetails:
    """What `status_url` points to. Poll it every few seconds."""
    details = RunDetails.model_validate(_record(deps, seen).model_dump())
    if may_see_objects(seen.run, caller):
        failures = await deps.in_thread(lambda: deps.assets.failures_by_reason(seen.run.id))
        details.failures = [FailureReason(**msgspec.structs.asdict(each)) for each in failures]
    return details


@router.post(
    "/runs/{run_id}/cancel",
    status_code=202,
    summary="Stop a run",
    responses=openapi.error_responses(404, 409),
)
async def cancel(deps: Deps, seen: RequestedRun) -> RunRecord:
    """Ask the run to stop, which takes some seconds. Results so far are kept."""
    found = seen.require_whole()
    if found.finished_at is not None:
        raise _has_ended(found)
    ending = await deps.prefect.cancel(found.id)
    if ending is None:
        raise ApiError(
            409,
            "unknown_to_prefect",
            f"Prefect does not know run {found.id}. It was started at another Prefect server; "
            "cancel it there.",
        )
    if ending.status is not None:  # it had not begun, so no hook tells the table
        found = await deps.in_thread(
            lambda: deps.runs.record(found.id, status=ending.status, error=ending.message)
        )
        if found.status is not RunStatus.CANCELLED:
            raise _has_ended(found)
    return _record(deps, VisibleRun(found, seen.view))


@router.get(
    "/runs/{run_id}/assets", summary="What a run found", responses=openapi.error_responses(404)
)
async def assets(
    deps: Deps, found: RunWithObjects, query: Annotated[AssetsQuery, Query()]
) -> Assets:
    """The objects that this run processed last, with signed URLs of their pictures."""
    rows = await deps.in_thread(
        lambda: deps.assets.of_run(
            found.id, Asset.columns(), after=query.after, limit=query.limit, status=query.status
        )
    )
    paths = [row["path"] for row in rows]
    urls = await deps.in_thread(
        lambda: deps.bucket(found.bucket).sign(paths, deps.settings.picture_seconds)
    )
    previews = await deps.renditions.urls(found.bucket, rows)
    return Assets(
        assets=[
            Asset(
                **row,
                picture_url=urls.get(row["path"]),
                preview_url=previews.get(row["path"]),
            )
            for row in rows
        ],
        next=paths[-1] if len(rows) == query.limit else None,
    )


@router.get(
    "/runs/{run_id}/snapshot", summary="The audit snapshot", responses=openapi.error_responses(404)
)
async def snapshot(deps: Deps, found: RunWithObjects) -> Snapshot:
    """The Parquet files with the run's result for each object, or the folder they are in."""
    path = found.snapshot_path
    if path is None or not path.startswith(BUCKET_SCHEME):
        return Snapshot(path=path, parts=[])
    name, _, folder = path.removeprefix(BUCKET_SCHEME).partition("/")

    def signed() -> dict[str, str]:
        bucket = deps.bucket(name)
        paths = bucket.list(f"{folder}/")
        recorded = [path for path in paths if part_number(PurePosixPath(path).name) is not None]
        return bucket.sign(recorded, deps.settings.picture_seconds)

    urls = await deps.in_thread(signed)
    parts = [SnapshotPart(name=PurePosixPath(part).name, url=url) for part, url in urls.items()]
    return Snapshot(path=path, parts=parts)


def _record(deps: Dependencies, seen: VisibleRun) -> RunRecord:
    is_whole = seen.view is View.WHOLE
    return RunRecord(
        **columns(seen.run, seen.view),
        **msgspec.structs.asdict(speed_of(seen.run)),
        prefect_url=deps.prefect.run_url(seen.run.id) if is_whole else None,
    )


def _has_ended(found: EnrichRun) -> ApiError:
    return ApiError(
        409,
        "run_has_ended",
        f"Run {found.id} has already ended with status {found.status}. There is nothing to cancel.",
        status=found.status,
    )
