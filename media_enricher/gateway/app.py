"""The ASGI app: its routes, the middleware of all of them, and how every error is answered."""

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

from media_enricher.gateway.audit import record_refusal
from media_enricher.gateway.dependencies import FUNCTIONS, Dependencies, open_dependencies
from media_enricher.gateway.error_mapping import BACKEND_ERRORS, to_api_error
from media_enricher.gateway.errors import ApiError
from media_enricher.gateway.middleware import BodyLimit, ResponseHeaders
from media_enricher.gateway.request_fields import validation_error
from media_enricher.gateway.routes import admin, assets, health, runs, trigger
from media_enricher.settings import gateway_settings, settings, supabase_settings

_logger = logging.getLogger(__name__)


def create_app() -> FastAPI:
    """The gateway, by the settings of the environment.

    Raises:
        SettingsError: a setting is missing or invalid.
    """
    gateway, enricher, project = gateway_settings(), settings(), supabase_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_dependencies(gateway, enricher, project) as deps:
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
            Middleware(ResponseHeaders),
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
            ApiError: _answer_api_error,
            RequestValidationError: _answer_invalid_value,
            HTTPException: _answer_unknown_route,
            **dict.fromkeys(BACKEND_ERRORS, _answer_backend_error),
            Exception: _answer_bug,
        },
    )
    for router in (trigger.router, runs.router, assets.router, health.router, admin.router):
        app.include_router(router)
        app.include_router(router, prefix=FUNCTIONS, include_in_schema=False)
    return app


async def _answer_api_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    if error.status == 401:
        deps: Dependencies = request.app.state.dependencies
        host = request.client.host if request.client else None
        return deps.unauthenticated.count(host, error).response()
    await record_refusal(request, error)
    return error.response()


async def _answer_backend_error(request: Request, error: Exception) -> Response:
    """Supabase, Prefect or the starter of runs failed, or reserved no run."""
    if not isinstance(error, BACKEND_ERRORS):
        raise error
    return await _answer_api_error(request, to_api_error(error))


async def _answer_invalid_value(request: Request, error: Exception) -> Response:
    """A value failed FastAPI's own checks, whose locations begin with the part of the request."""
    if not isinstance(error, RequestValidationError):
        raise error
    first: ErrorDetails = error.errors()[0]
    first["loc"] = first["loc"][1:]
    return await _answer_api_error(request, validation_error(first))


async def _answer_unknown_route(request: Request, error: Exception) -> Response:
    """There is no such path, or not with this method."""
    if not isinstance(error, HTTPException):
        raise error
    status, headers = error.status_code, dict(error.headers or {})
    path, method = request.url.path, request.method
    if status == 405:
        sentence = f"{path} does not accept {method}. Use {headers.get('Allow')}."
        answer = ApiError(status, "method_not_allowed", sentence, headers=headers)
    elif status == 404:
        answer = ApiError(
            status, "not_found", f"There is no route {path}. GET /openapi.json lists all routes."
        )
    else:
        answer = ApiError(status, "refused", f"{error.detail}.", headers=headers)
    return await _answer_api_error(request, answer)


async def _answer_bug(request: Request, error: Exception) -> Response:
    """What nobody foresaw: it is in the log, and none of it in the answer."""
    _logger.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    return ApiError(
        500, "internal", "The gateway failed. The operator finds the reason in its log."
    ).response()
