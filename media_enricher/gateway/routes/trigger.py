"""Starting runs: `backfill`, `cron` and `enrich`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from media_enricher.gateway import openapi
from media_enricher.gateway.audit import AuditedRequest, attempt, idempotency_key, opened
from media_enricher.gateway.auth import Caller, Role
from media_enricher.gateway.dependencies import Dependencies, Deps
from media_enricher.gateway.errors import ApiError
from media_enricher.gateway.permissions import require_may_trigger, require_within_tenant
from media_enricher.gateway.routes.health import report
from media_enricher.gateway.schemas.requests import (
    BackfillRequest,
    ObjectChange,
    ObjectRequest,
    SweepRequest,
    fields_of,
    parse,
)
from media_enricher.gateway.schemas.responses import (
    DryRunCount,
    ErrorResponse,
    Health,
    Ignored,
    ObjectAccepted,
    RunStarted,
)
from media_enricher.gateway.starting import Started
from media_enricher.models import FlowName, Mode, Selection, Trigger
from media_enricher.run_requests import AskedObject, RequestRoute

router = APIRouter(prefix="/media-enricher", tags=["trigger"], dependencies=[openapi.BEARER_TOKEN])


@router.post(
    "/backfill",
    status_code=202,
    summary="Enrich what a bucket leaves to do",
    responses=openapi.errors(400, 401, 403, 404, 408, 413, 422, 429, 503)
    | openapi.answer(200, RunStarted | DryRunCount, "A run is under way, or it was a dry run."),
    openapi_extra=openapi.fields(BackfillRequest),
)
async def backfill(
    request: Request,
    response: Response,
    deps: Deps,
    begun: Annotated[AuditedRequest, Depends(attempt(RequestRoute.BACKFILL))],
) -> RunStarted | DryRunCount:
    """Start a run over a bucket, or find the one that is under way. It answers at once.

    The fields come in the query or in the body; where both have one, the query wins. With
    `dry_run`, it answers (200) how much there is to do, and starts nothing.
    """
    fields = await fields_of(request)
    begun.noted(fields)
    asked = parse(BackfillRequest, fields)
    caller = begun.require_caller()
    require_within_tenant(caller, asked.prefix, "prefix")
    await deps.storage_access.require_prefix(request, caller, asked.bucket, asked.prefix)
    await deps.refuse_own_bucket(asked.bucket)
    begun.told(mode=asked.mode, max_files=asked.limit, is_dry_run=asked.dry_run)
    if asked.dry_run:
        await begun.record()
        response.status_code = 200
        return await _count(deps, caller, asked)
    started = await begun.start()
    return _answer(deps, request, response, started, asked.prefix)


@router.post(
    "/cron",
    status_code=202,
    summary="Sweep a bucket by schedule; without one, a health report",
    responses=openapi.errors(400, 401, 403, 404, 408, 413, 422, 429)
    | openapi.answer(200, RunStarted | Health, "A run is under way, or all is well.")
    | openapi.answer(503, Health | ErrorResponse, "Something that a run needs is away."),
    openapi_extra=openapi.fields(SweepRequest),
)
async def cron(
    request: Request,
    response: Response,
    deps: Deps,
    begun: Annotated[AuditedRequest, Depends(attempt(RequestRoute.CRON))],
) -> RunStarted | Health:
    """Enrich what is missing from a bucket, unless a run is under way anywhere under the prefix.

    Without a bucket, it answers (200 or 503) whether the database, Storage, Prefect and a worker
    are there, and starts nothing.
    """
    fields = await fields_of(request)
    begun.noted(fields)
    asked = parse(SweepRequest, fields)
    if asked.bucket is None:
        health = await report(deps)
        response.status_code = 200 if health.status == "ok" else 503
        return health
    caller = begun.require_caller()
    require_within_tenant(caller, asked.prefix, "prefix")
    await deps.storage_access.require_prefix(request, caller, asked.bucket, asked.prefix)
    await deps.refuse_own_bucket(asked.bucket)
    started = await begun.start(max_files=asked.limit, trigger=Trigger.SCHEDULE, is_exclusive=True)
    return _answer(deps, request, response, started, asked.prefix)


@router.post(
    "/enrich",
    status_code=202,
    summary="Enrich one object, or follow a change in Storage",
    responses=openapi.errors(400, 401, 403, 404, 408, 413, 422, 429, 503)
    | openapi.answer(200, Ignored, "Nothing is done about this change."),
    openapi_extra=openapi.body(ObjectRequest, ObjectChange),
    dependencies=[openapi.WEBHOOK_SECRET],
)
async def enrich(request: Request, response: Response, deps: Deps) -> ObjectAccepted | Ignored:
    """Enrich one object again, by `{bucket, path}`; or take a Supabase database webhook's payload.

    A webhook on `storage.objects` is let in by its secret in `x-webhook-secret`, or by a service
    key. Objects asked for while a run is looking at others are done by that same run.
    """
    begun = opened(request, deps, RequestRoute.ENRICH)
    begun.told(flow=FlowName.ENRICH_OBJECT, mode=Mode.ALL)
    caller = begun.identify(await deps.caller_or_webhook(request))
    fields = await fields_of(request)
    begun.noted(fields)
    if caller.role is Role.WEBHOOK or (caller.is_service and "type" in fields):
        return await _follow(deps, request, response, begun, parse(ObjectChange, fields))
    require_may_trigger(caller, deps.settings)
    asked = parse(ObjectRequest, fields)
    require_within_tenant(caller, asked.path, "path")
    await deps.storage_access.require_object(request, caller, asked.bucket, asked.path)
    await deps.refuse_own_bucket(asked.bucket)
    begun.told(idempotency_key=idempotency_key(request))
    started = await begun.start(
        prefix=f"{caller.tenant_id}/" if caller.tenant_id else "",
        objects=[AskedObject(path=asked.path, is_forced=True)],
    )
    return _accepted(deps, request, started, asked.path)


async def _follow(
    deps: Dependencies,
    request: Request,
    response: Response,
    begun: AuditedRequest,
    change: ObjectChange,
) -> ObjectAccepted | Ignored:
    """Look at the objects of a change. Whether each is there, or gone, is for the run to see."""
    begun.told(trigger=Trigger.EVENT, mode=Mode.MISSING)
    by_bucket: dict[str, list[str]] = {}
    followed = await deps.followed({each.bucket_id for each in change.objects()})
    for each in change.objects():
        if each.bucket_id in followed:
            by_bucket.setdefault(each.bucket_id, []).append(each.name)
    if not by_bucket:
        response.status_code = 200
        ignored = Ignored(reason=f"No bucket of this change is kept current: {change.buckets()}.")
        await begun.refused(ApiError(200, "ignored", ignored.reason))
        return ignored
    for bucket, paths in by_bucket.items():
        started = await begun.start(
            bucket=bucket, prefix="", objects=[AskedObject(path=path) for path in paths]
        )
        accepted = _accepted(deps, request, started, paths[0])
    return accepted


async def _count(deps: Dependencies, caller: Caller, asked: BackfillRequest) -> DryRunCount:
    selection = Selection(
        bucket=asked.bucket, prefix=asked.prefix, mode=asked.mode, depth=asked.depth
    )
    pending = await deps.count(caller, selection, asked.limit)
    return DryRunCount(
        bucket=asked.bucket,
        prefix=asked.prefix,
        limit=asked.limit,
        mode=asked.mode,
        depth=asked.depth,
        objects=pending.objects,
        size_bytes=pending.size_bytes,
    )


def _answer(
    deps: Dependencies, request: Request, response: Response, started: Started, asked_prefix: str
) -> RunStarted:
    """202 for a run of this request's, 200 for one that was under way before."""
    run = started.run
    if started.was_under_way:
        response.status_code = 200
    return RunStarted(
        run_id=run.id,
        status=run.status,
        bucket=run.bucket,
        prefix=run.prefix,
        limit=run.max_files,
        mode=run.mode,
        depth=run.depth,
        status_url=deps.address(request, f"runs/{run.id}"),
        already_running=started.was_under_way,
        asked_prefix=asked_prefix if run.prefix != asked_prefix else None,
    )


def _accepted(deps: Dependencies, request: Request, started: Started, path: str) -> ObjectAccepted:
    run = started.run
    return ObjectAccepted(
        run_id=run.id,
        status=run.status,
        bucket=run.bucket,
        path=path,
        status_url=deps.address(request, f"runs/{run.id}"),
    )
