"""All assets together, for admins: the dashboard's totals, a search, and one asset in full."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from media_enricher.gateway import openapi
from media_enricher.gateway.dependencies import Dependencies, Deps
from media_enricher.gateway.errors import ApiError
from media_enricher.gateway.permissions import require_may_see_assets
from media_enricher.gateway.routes.runs import Admitted
from media_enricher.gateway.schemas.requests import AssetSearch, MissingQuery
from media_enricher.gateway.schemas.responses import (
    AssetDetails,
    AssetRun,
    BucketTotals,
    Dashboard,
    FoundAsset,
    FoundAssets,
    MissingObject,
    MissingObjects,
)
from media_enricher.models import Mode, Selection

router = APIRouter(
    prefix="/media-enricher",
    tags=["assets"],
    responses=openapi.error_responses(401, 403, 422, 429, 503),
    dependencies=[openapi.BEARER_TOKEN],
)


async def _tenant(caller: Admitted) -> str | None:
    """The tenant whose assets are shown; None for everybody's."""
    return require_may_see_assets(caller)


Tenant = Annotated[str | None, Depends(_tenant)]


@router.get("/dashboard", summary="How many assets there are, by bucket")
async def dashboard(deps: Deps, tenant: Tenant) -> Dashboard:
    """Totals that every write keeps. What is pending is counted now and then, and says when."""
    rows = await deps.in_thread(lambda: deps.library.totals(tenant))
    return Dashboard(buckets=[BucketTotals(**row) for row in rows])


@router.get("/assets", summary="Search all assets")
async def search(deps: Deps, tenant: Tenant, query: Annotated[AssetSearch, Query()]) -> FoundAssets:
    """Assets by words and filters, with signed URLs of their pictures. None that is deleted."""
    rows = await deps.in_thread(
        lambda: deps.library.search(query.filters(), FoundAsset.columns(), tenant)
    )
    return FoundAssets(
        assets=await _with_pictures(deps, rows),
        next=rows[-1]["id"] if len(rows) == query.limit else None,
    )


@router.get(
    "/assets/{asset_id}",
    summary="One asset, its runs and what looks like it",
    responses=openapi.error_responses(404),
)
async def asset(deps: Deps, tenant: Tenant, asset_id: UUID) -> AssetDetails:
    """Every column of its row. Runs are those that the tables know of; snapshots have them all."""
    row = await deps.in_thread(lambda: deps.library.get(str(asset_id), tenant))
    if row is None:
        raise ApiError(
            404, "unknown_asset", f"There is no asset {asset_id}, or you may not see it."
        )
    runs = await deps.in_thread(lambda: deps.library.runs(row["id"]))
    similar = await deps.in_thread(
        lambda: deps.library.similar(row["id"], FoundAsset.columns(), tenant)
    )
    pictures = await _pictures(deps, row["bucket"], [row])
    return AssetDetails(
        asset=row,
        **pictures[row["bucket"], row["path"]],
        runs=[AssetRun(**run) for run in runs],
        similar=await _with_pictures(deps, similar),
    )


@router.get("/missing", summary="The objects without metadata")
async def missing(
    deps: Deps, tenant: Tenant, query: Annotated[MissingQuery, Query()]
) -> MissingObjects:
    """What a run in mode missing would work on now, at full depth."""
    selection = Selection(
        bucket=query.bucket,
        prefix=f"{tenant}/" if tenant else "",
        mode=Mode.MISSING,
        after=query.after,
    )
    objects = await deps.in_thread(
        lambda: next(deps.assets.pending_pages(selection, limit=query.limit), [])
    )
    return MissingObjects(
        objects=[
            MissingObject(
                path=each.path,
                size_bytes=each.size_bytes,
                declared_content_type=each.declared_content_type,
            )
            for each in objects
        ],
        next=objects[-1].path if len(objects) == query.limit else None,
    )


async def _with_pictures(deps: Dependencies, rows: Sequence[dict[str, Any]]) -> list[FoundAsset]:
    """The assets with signed URLs, in the order of the rows."""
    pictures: dict[tuple[str, str], dict[str, str | None]] = {}
    for bucket, members in groupby(sorted(rows, key=_bucket_of), key=_bucket_of):
        pictures |= await _pictures(deps, bucket, list(members))
    return [FoundAsset(**row, **pictures[row["bucket"], row["path"]]) for row in rows]


async def _pictures(
    deps: Dependencies, bucket: str, rows: Sequence[dict[str, Any]]
) -> dict[tuple[str, str], dict[str, str | None]]:
    """The signed URLs of assets of one bucket, as fields of an answer, by bucket and path."""
    paths = [row["path"] for row in rows]
    originals = await deps.in_thread(
        lambda: deps.bucket(bucket).sign(paths, deps.settings.picture_seconds)
    )
    previews = await deps.renditions.urls(bucket, rows)
    return {
        (bucket, path): {"picture_url": originals.get(path), "preview_url": previews.get(path)}
        for path in paths
    }


def _bucket_of(row: dict[str, Any]) -> str:
    return str(row["bucket"])
