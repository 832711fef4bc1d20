"""Whether the gateway lives, and whether all that a run needs is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from fastapi import APIRouter

from media_enricher.gateway.answers import Alive, Check, Health
from media_enricher.gateway.desk import Desk
from media_enricher.gateway.errors import Refusal

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Does the gateway answer?")
async def healthz() -> Alive:
    """For a load balancer: this process answers. What it needs is looked at by `POST /cron`."""
    return Alive()


async def report(desk: Desk) -> Health:
    """Look at everything that a run needs, side by side."""
    looks = {
        "database": _look("the run table answers", desk.blocking(lambda: desk.runs.recent(1))),
        "storage": _look("Storage answers", desk.blocking(desk.stored_buckets)),
        "prefect": _look("Prefect answers and has the deployments", desk.prefect.answers()),
        "worker": _worker(desk),
    }
    checks = dict(zip(looks, await asyncio.gather(*looks.values()), strict=True))
    is_well = all(check.status == "ok" for check in checks.values())
    return Health(status="ok" if is_well else "unavailable", checks=checks)


async def _look(what: str, answer: Awaitable[object]) -> Check:
    try:
        await answer
    except Refusal as refusal:
        return Check(status="unavailable", detail=refusal.error)
    return Check(status="ok", detail=what)


async def _worker(desk: Desk) -> Check:
    names = list(desk.deployments.values())
    try:
        unready = await desk.prefect.unready(names)
    except Refusal as refusal:
        return Check(status="unavailable", detail=refusal.error)
    if unready:
        return Check(
            status="unavailable",
            detail=f"No worker polls for {' and '.join(unready)}. Start one: "
            "prefect worker start --pool media-enricher",
        )
    return Check(status="ok", detail=f"a worker polls for {' and '.join(names)}")
