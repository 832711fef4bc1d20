"""The admin page: static files, under a Content-Security-Policy that lets in nothing else."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from media_enricher.gateway.dependencies import Dependencies, Deps

router = APIRouter(prefix="/media-enricher/admin", include_in_schema=False)
_files = StaticFiles(directory=Path(__file__).parents[1] / "admin")


@router.get("")
async def page(request: Request, deps: Deps) -> Response:
    """The page itself."""
    return await _file("index.html", request, deps)


@router.get("/config.json")
async def config(deps: Deps) -> Response:
    """What the page has to know before anyone signs in; nothing of it is secret."""
    key = deps.project.anon_key
    return JSONResponse(
        {
            "supabase_url": deps.project.url,
            "publishable_key": key.get_secret_value() if key else None,
            "default_bucket": next(iter(deps.swept_buckets), ""),
        }
    )


@router.get("/")
async def with_a_slash() -> Response:
    """Back to the page, whose own addresses are relative to the one without."""
    return RedirectResponse("../admin")


@router.get("/{name:path}")
async def file(name: str, request: Request, deps: Deps) -> Response:
    """A script or a style of the page."""
    return await _file(name, request, deps)


async def _file(name: str, request: Request, deps: Dependencies) -> Response:
    answer = await _files.get_response(name, request.scope)
    answer.headers["cache-control"] = "no-cache"  # asked for again, and answered 304 by its etag
    answer.headers["content-security-policy"] = _policy(deps.project.url)
    return answer


def _policy(supabase_url: str) -> str:
    """Scripts and styles of our own alone; pictures and sign-in from the Supabase project."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            f"img-src 'self' data: blob: {supabase_url}",
            f"connect-src 'self' {supabase_url}",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )
