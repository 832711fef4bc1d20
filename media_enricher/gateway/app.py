"""The ASGI app: routes, what holds for all of them, and how every error is answered."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from media_enricher.gateway.audit import put_on_record
from media_enricher.gateway.dependencies import FUNCTIONS, Dependencies, open_dependencies
from media_enricher.gateway.errors import ApiError
from media_enricher.gateway.middleware import AnswerHeaders, BodyLimit
from media_enricher.gateway.routes import admin, health, runs, trigger
from media_enricher.gateway.schemas.requests import refuse_invalid
from media_enricher.gateway.unauthenticated_limiter import UnauthenticatedLimiter
from media_enricher.settings import gateway_settings, settings, supabase_settings

_logger = logging.getLogger(__name__)


def create_app() -> FastAPI:
    """The gateway, by the settings of the environment.

    Raises:
        SettingsError: a setting is missing or invalid.
    """
    ours, project, gateway = settings(), supabase_settings(), gateway_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_dependencies(gateway, ours, project) as deps:
            app.state.dependencies = deps
            yield

    app = FastAPI(
        title="Media Enricher",
        version=version("media-enricher"),
        description="Starts and watches the enrichment of Supabase Storage buckets.",
        lifespan=lifespan,
        docs_url=None,  # both come from a CDN
        redoc_url=None,
        redirect_slashes=False,  # the address would be of the request's Host
        middleware=[
            Middleware(AnswerHeaders),
            Middleware(
                CORSMiddleware,
                allow_origins=gateway.cors_origins,
                allow_methods=["GET", "POST"],
                allow_headers=[
                    *("authorization", "apikey", "content-type", "idempotency-key"),
                    *("x-client-info", "x-supabase-api-version", "x-region"),
                ],
                expose_headers=["Retry-After"],
            ),
            Middleware(BodyLimit),
        ],
        exception_handlers={
            ApiError: _refuse,
            RequestValidationError: _refuse_invalid,
            HTTPException: _refuse_route,
            Exception: _refuse_for_a_bug,
        },
    )
    for router in (trigger.router, runs.router, health.router, admin.router):
        app.include_router(router)
        app.include_router(router, prefix=FUNCTIONS, include_in_schema=False)
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    if error.status == 401:
        return _strangers(request).refuse(_host(request), error).answer()
    await put_on_record(request, error)
    return error.answer()


def _strangers(request: Request) -> UnauthenticatedLimiter:
    deps: Dependencies = request.app.state.dependencies
    return deps.unauthenticated


def _host(request: Request) -> str | None:
    return request.client.host if request.client else None


async def _refuse_invalid(request: Request, error: Exception) -> Response:
    """A value that FastAPI's own checks did not let pass; they say first where it stood."""
    if not isinstance(error, RequestValidationError):
        raise error
    first: ErrorDetails = error.errors()[0]
    first["loc"] = first["loc"][1:]
    return await _refuse(request, refuse_invalid(first))


async def _refuse_route(request: Request, error: Exception) -> Response:
    """No such path, or not by this method."""
    if not isinstance(error, HTTPException):
        raise error
    status, headers = error.status_code, dict(error.headers or {})
    if status == 405:
        sentence = f"{request.url.path} does not take {request.method}: {headers.get('Allow')}."
        refusal = ApiError(status, "method_not_allowed", sentence, headers=headers)
    elif status == 404:
        refusal = ApiError(status, "not_found", f"There is nothing at {request.url.path}.")
    else:
        refusal = ApiError(status, "refused", f"{error.detail}.", headers=headers)
    return await _refuse(request, refusal)


async def _refuse_for_a_bug(request: Request, error: Exception) -> Response:
    """What nobody foresaw: it is in the log, and none of it in the answer."""
    _logger.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    return ApiError(500, "internal", "The gateway failed; its log says why.").answer()
