"""Starting runs: `backfill`, `cron` and `enrich`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from media_enricher.gateway import openapi
from media_enricher.gateway.audit import (
    AuditedRequest,
    audited,
    idempotency_key,
    open_audited,
)
from media_enricher.gateway.auth import Caller, Role
from media_enricher.gateway.dependencies import Dependencies, Deps
from media_enricher.gateway.errors import ApiError
from media_enricher.gateway.permissions import require_may_trigger, require_within_tenant
from media_enricher.gateway.request_fields import parse, read_fields
from media_enricher.gateway.routes.health import report
from media_enricher.gateway.schemas.requests import (
    BackfillRequest,
    ObjectChange,
    ObjectRequest,
    SweepRequest,
)
from media_enricher.gateway.schemas.responses import (
    DryRunCount,
    ErrorResponse,
    HeaderSuggestion,
    Health,
    Ignored,
    ObjectAccepted,
    RunStarted,
)
from media_enricher.models import FlowName, Mode, Selection, Trigger
from media_enricher.orchestration.run_starter import Started
from media_enricher.run_cost import Estimate
from media_enricher.run_requests import RequestedObject, RequestRoute

router = APIRouter(prefix="/media-enricher", tags=["trigger"], dependencies=[openapi.BEARER_TOKEN])


@router.post(
    "/backfill",
    status_code=202,
    summary="Enrich the objects of a bucket",
    responses=openapi.error_responses(400, 401, 403, 404, 408, 413, 422, 429, 503)
    | openapi.response(
        200, RunStarted | DryRunCount, "A run is already under way, or this was a dry run."
    ),
    openapi_extra=openapi.query_or_body(BackfillRequest),
)
async def backfill(
    request: Request,
    response: Response,
    deps: Deps,
    audited_request: Annotated[AuditedRequest, Depends(audited(RequestRoute.BACKFILL))],
) -> RunStarted | DryRunCount:
    """Start a run over a bucket, or find the one that is under way. It answers at once.

    The fields come in the query or in the body; where both have one, the query wins. With
    `dry_run`, it answers (200) how much there is to do and what it would cost, and starts nothing.
    """
    fields = await read_fields(request)
    audited_request.note_unchecked(fields)
    payload = parse(BackfillRequest, fields)
    caller = audited_request.require_caller()
    require_within_tenant(caller, payload.prefix, "prefix")
    await deps.storage_access.require_prefix(request, caller, payload.bucket, payload.prefix)
    await deps.refuse_own_bucket(payload.bucket)
    audited_request.note(
        mode=payload.mode,
        max_files=payload.limit,
        max_bytes=payload.max_bytes,
        is_dry_run=payload.dry_run,
    )
    if payload.dry_run:
        await audited_request.record()
        response.status_code = 200
        return await _count(deps, caller, payload)
    started = await audited_request.start()
    return _answer(deps, request, response, started, payload.prefix)


@router.post(
    "/cron",
    status_code=202,
    summary="Sweep a bucket by schedule; without one, a health report",
    responses=openapi.error_responses(400, 401, 403, 404, 408, 413, 422, 429)
    | openapi.response(
        200, RunStarted | Health, "A run is already under way, or everything is available."
    )
    | openapi.response(503, Health | ErrorResponse, "Something that a run needs is not available."),
    openapi_extra=openapi.query_or_body(SweepRequest),
)
async def cron(
    request: Request,
    response: Response,
    deps: Deps,
    audited_request: Annotated[AuditedRequest, Depends(audited(RequestRoute.CRON))],
) -> RunStarted | Health:
    """Enrich what is missing from a bucket, unless a run is under way anywhere under the prefix.

    Without a bucket, it answers (200 or 503) whether the database, Storage, Prefect and a worker
    are there, and starts nothing.
    """
    fields = await read_fields(request)
    audited_request.note_unchecked(fields)
    payload = parse(SweepRequest, fields)
    if payload.bucket is None:
        health = await report(deps)
        response.status_code = 200 if health.status == "ok" else 503
        return health
    caller = audited_request.require_caller()
    require_within_tenant(caller, payload.prefix, "prefix")
    await deps.storage_access.require_prefix(request, caller, payload.bucket, payload.prefix)
    await deps.refuse_own_bucket(payload.bucket)
    started = await audited_request.start(
        max_files=payload.limit, trigger=Trigger.SCHEDULE, is_exclusive=True
    )
    return _answer(deps, request, response, started, payload.prefix)


@router.post(
    "/enrich",
    status_code=202,
    summary="Enrich one object, or follow a change in Storage",
    responses=openapi.error_responses(400, 401, 403, 404, 408, 413, 422, 429, 503)
    | openapi.response(200, Ignored, "This change is not followed."),
    openapi_extra=openapi.json_body(ObjectRequest, ObjectChange),
    dependencies=[openapi.WEBHOOK_SECRET],
)
async def enrich(request: Request, response: Response, deps: Deps) -> ObjectAccepted | Ignored:
    """Enrich one object again, by `{bucket, path}`; or take a Supabase database webhook.

    A webhook on `storage.objects` is let in by its secret in `x-webhook-secret`, or by a service
    key. Objects asked for while a run is looking at others are done by that same run.
    """
    audited_request = open_audited(request, deps, RequestRoute.ENRICH)
    audited_request.note(flow=FlowName.ENRICH_OBJECT, mode=Mode.ALL)
    caller = audited_request.identify(await deps.caller_or_webhook(request))
    fields = await read_fields(request)
    audited_request.note_unchecked(fields)
    if caller.role is Role.WEBHOOK or (caller.is_service and "type" in fields):
        return await _follow(deps, request, response, audited_request, parse(ObjectChange, fields))
    require_may_trigger(caller, deps.settings)
    payload = parse(ObjectRequest, fields)
    require_within_tenant(caller, payload.path, "path")
    await deps.storage_access.require_object(request, caller, payload.bucket, payload.path)
    await deps.refuse_own_bucket(payload.bucket)
    audited_request.note(idempotency_key=idempotency_key(request))
    started = await audited_request.start(
        prefix=f"{caller.tenant_id}/" if caller.tenant_id else "",
        objects=[RequestedObject(path=payload.path, is_forced=True)],
    )
    return _accepted(deps, request, started, payload.path)


async def _follow(
    deps: Dependencies,
    request: Request,
    response: Response,
    audited_request: AuditedRequest,
    change: ObjectChange,
) -> ObjectAccepted | Ignored:
    """Have a run look at the objects of a change: it finds out whether each is there or gone."""
    audited_request.note(trigger=Trigger.EVENT, mode=Mode.MISSING)
    by_bucket: dict[str, list[str]] = {}
    followed = await deps.followed({each.bucket_id for each in change.objects()})
    for each in change.objects():
        if each.bucket_id in followed:
            by_bucket.setdefault(each.bucket_id, []).append(each.name)
    if not by_bucket:
        response.status_code = 200
        ignored = Ignored(
            reason=f"Changes in {change.buckets()} are not followed. Media Enricher follows the "
            "buckets of MEDIA_ENRICHER_BUCKETS (all if it is not set), and never its own."
        )
        await audited_request.record_refusal(ApiError(200, "ignored", ignored.reason))
        return ignored
    for bucket, paths in by_bucket.items():
        started = await audited_request.start(
            bucket=bucket, prefix="", objects=[RequestedObject(path=path) for path in paths]
        )
        accepted = _accepted(deps, request, started, paths[0])
    return accepted


async def _count(deps: Dependencies, caller: Caller, payload: BackfillRequest) -> DryRunCount:
    selection = Selection(
        bucket=payload.bucket, prefix=payload.prefix, mode=payload.mode, depth=payload.depth
    )
    estimate = await deps.estimate(caller, selection, payload.limit, payload.max_bytes)
    return DryRunCount(
        bucket=payload.bucket,
        prefix=payload.prefix,
        limit=payload.limit,
        mode=payload.mode,
        depth=payload.depth,
        max_bytes=payload.max_bytes,
        objects=estimate.objects,
        size_bytes=estimate.size_bytes,
        estimated_read_bytes=estimate.cost.read_bytes,
        estimated_seconds=estimate.cost.seconds,
        suggestion=_suggestion(estimate),
    )


def _suggestion(estimate: Estimate) -> HeaderSuggestion | None:
    header, message = estimate.header, estimate.suggestion()
    if header is None or message is None:
        return None
    return HeaderSuggestion(
        estimated_read_bytes=header.read_bytes, estimated_seconds=header.seconds, message=message
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
        max_bytes=run.max_bytes,
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
