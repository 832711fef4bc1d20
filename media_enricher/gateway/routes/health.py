"""Whether the gateway answers, and whether all that a run needs is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from fastapi import APIRouter

from media_enricher.gateway.dependencies import Dependencies
from media_enricher.gateway.error_mapping import BACKEND_ERRORS, to_api_error
from media_enricher.gateway.schemas.responses import Alive, Check, Health

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Does the gateway answer?")
async def healthz() -> Alive:
    """For a load balancer: this process answers. `POST /cron` checks what it needs."""
    return Alive()


async def report(deps: Dependencies) -> Health:
    """Check everything that a run needs, side by side."""
    pending = {
        "database": _check("The run table answers.", deps.in_thread(lambda: deps.runs.recent(1))),
        "storage": _check("Storage answers.", deps.in_thread(deps.stored_buckets)),
        "prefect": _check("Prefect answers.", deps.prefect.ping()),
        "worker": _worker(deps),
    }
    checks = dict(zip(pending, await asyncio.gather(*pending.values()), strict=True))
    is_healthy = all(check.status == "ok" for check in checks.values())
    return Health(status="ok" if is_healthy else "unavailable", checks=checks)


async def _check(what: str, answer: Awaitable[object]) -> Check:
    try:
        await answer
    except BACKEND_ERRORS as error:
        return Check(status="unavailable", detail=to_api_error(error).error)
    return Check(status="ok", detail=what)


async def _worker(deps: Dependencies) -> Check:
    names = list(deps.deployments.values())
    try:
        unserved = await deps.prefect.without_worker(names)
    except BACKEND_ERRORS as error:
        return Check(status="unavailable", detail=to_api_error(error).error)
    if unserved:
        return Check(
            status="unavailable",
            detail=f"No worker polls for {' and '.join(unserved)}. Start one: "
            "prefect worker start --pool media-enricher",
        )
    return Check(status="ok", detail=f"A worker polls for {' and '.join(names)}.")
