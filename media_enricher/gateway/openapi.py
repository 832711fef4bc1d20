"""Parts of the OpenAPI document that FastAPI can't tell from the code.

The fields of a request are taken from the query or the body by `request_fields.read_fields`, so
FastAPI sees neither. Here the model that checks them describes both.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import BaseModel

from media_enricher.gateway.schemas.responses import ErrorResponse

_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "integer", "minimum": 1},
    }
}
_WHY = {
    400: "The body is not a JSON object.",
    401: "The token is missing or not valid.",
    403: "The caller may not do this.",
    404: "There is no such bucket or run.",
    408: "The request did not arrive in time.",
    409: "The run has ended.",
    413: "The body is too large.",
    422: "A value is not allowed; the answer names the field.",
    429: "A limit is reached: of requests, of active runs, or of requests without credentials.",
    503: "The database or Prefect does not answer.",
}


# What a client has to send. `auth` checks it, and its errors say more.
BEARER_TOKEN = Security(
    HTTPBearer(auto_error=False, description="A service key, or a signed-in user's access token.")
)
WEBHOOK_SECRET = Security(
    APIKeyHeader(
        name="x-webhook-secret",
        auto_error=False,
        description="A database webhook's secret, instead of a token.",
    )
)


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors with these statuses that a route may answer."""
    return {
        status: {
            "model": ErrorResponse,
            "description": _WHY[status],
            **({"headers": _RETRY_AFTER} if status in {429, 503} else {}),
        }
        for status in statuses
    }


def response(status: int, model: Any, description: str) -> dict[int | str, dict[str, Any]]:
    """An answer of a route besides its usual one."""
    return {status: {"model": model, "description": description or HTTPStatus(status).phrase}}


def query_or_body(model: type[BaseModel]) -> dict[str, Any]:
    """A request whose fields come in the query or in a JSON body, with an Idempotency-Key."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    properties = _inlined(schema)
    required = set(schema.get("required", ()))
    in_query = [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": each.get("description", ""),
            "schema": _without_null(each),
        }
        for name, each in properties.items()
    ]
    return {
        "parameters": [*in_query, _IDEMPOTENCY_KEY],
        "requestBody": _json_body(
            {
                "type": "object",
                "properties": properties,
                "additionalProperties": False,
                "description": "The same fields as in the query. The query wins.",
            },
            is_required=False,
        ),
    }


def json_body(*models: type[BaseModel]) -> dict[str, Any]:
    """A request whose fields come in a JSON body of one of several models."""
    schemas = []
    for model in models:
        schema = model.model_json_schema()
        schemas.append(schema | {"properties": _inlined(schema)})
        schemas[-1].pop("$defs", None)
    return {
        "parameters": [_IDEMPOTENCY_KEY],
        "requestBody": _json_body({"anyOf": schemas}, is_required=True),
    }


_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key always gives the same run, even one that has ended.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}


def _json_body(schema: dict[str, Any], *, is_required: bool) -> dict[str, Any]:
    return {"required": is_required, "content": {"application/json": {"schema": schema}}}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """The properties of a model's schema, with references resolved."""
    definitions = schema.get("$defs", {})

    def resolved(node: Any) -> Any:
        if isinstance(node, list):
            return [resolved(each) for each in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            name = node["$ref"].rsplit("/", 1)[-1]
            return resolved(definitions[name]) | {
                key: value for key, value in node.items() if key != "$ref"
            }
        return {key: resolved(value) for key, value in node.items()}

    properties: dict[str, Any] = resolved(schema.get("properties", {}))
    return properties


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a value in a query, where there is no null."""
    shown = {key: value for key, value in schema.items() if key not in {"description", "title"}}
    if "anyOf" in shown:
        (only,) = [each for each in shown.pop("anyOf") if each.get("type") != "null"]
        shown |= only
    if shown.get("default", ...) is None:
        del shown["default"]
    return shown
