"""Whether the gateway lives, and whether all that a run needs is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from fastapi import APIRouter

from media_enricher.gateway.dependencies import Dependencies
from media_enricher.gateway.errors import ApiError
from media_enricher.gateway.schemas.responses import Alive, Check, Health

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Does the gateway answer?")
async def healthz() -> Alive:
    """For a load balancer: this process answers. What it needs is looked at by `POST /cron`."""
    return Alive()


async def report(deps: Dependencies) -> Health:
    """Look at everything that a run needs, side by side."""
    looks = {
        "database": _look("the run table answers", deps.blocking(lambda: deps.runs.recent(1))),
        "storage": _look("Storage answers", deps.blocking(deps.stored_buckets)),
        "prefect": _look("Prefect answers and has the deployments", deps.prefect.answers()),
        "worker": _worker(deps),
    }
    checks = dict(zip(looks, await asyncio.gather(*looks.values()), strict=True))
    is_well = all(check.status == "ok" for check in checks.values())
    return Health(status="ok" if is_well else "unavailable", checks=checks)


async def _look(what: str, answer: Awaitable[object]) -> Check:
    try:
        await answer
    except ApiError as refusal:
        return Check(status="unavailable", detail=refusal.error)
    return Check(status="ok", detail=what)


async def _worker(deps: Dependencies) -> Check:
    names = list(deps.deployments.values())
    try:
        unready = await deps.prefect.unready(names)
    except ApiError as refusal:
        return Check(status="unavailable", detail=refusal.error)
    if unready:
        return Check(
            status="unavailable",
            detail=f"No worker polls for {' and '.join(unready)}. Start one: "
            "prefect worker start --pool media-enricher",
        )
    return Check(status="ok", detail=f"a worker polls for {' and '.join(names)}")
