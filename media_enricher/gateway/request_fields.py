"""The fields of a request, from its query and its body, checked by a model of `schemas.requests`.

FastAPI's own parameters can't do this. It reads and parses a body before any dependency runs, so a
body would be read from callers who are not known yet, and one that is no JSON would be refused
before the request is on record. And it checks query and body each by itself, where a required
field may stand in either.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeVar

import orjson
from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import ClientDisconnect

from media_enricher.gateway.errors import ApiError, invalid_value, shown_value

_Model = TypeVar("_Model", bound=BaseModel)


async def read_fields(request: Request) -> dict[str, Any]:
    """The fields of a request, from its query and its body; where both have one, the query wins.

    Raises:
        ApiError: the body is no JSON object (400), or the query names a field twice (422).
    """
    in_query = request.query_params.multi_items()
    for name, count in Counter(name for name, _ in in_query).items():
        if count > 1:
            values = request.query_params.getlist(name)
            raise invalid_value(name, values, "it is given more than once")
    return await _read_body(request) | dict(in_query)


def parse(model: type[_Model], fields: dict[str, Any]) -> _Model:
    """The fields as the model that checks them; a field that is null counts as not given.

    Raises:
        ApiError: 422; it names the first field that is wrong, its value and what is allowed.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise validation_error(error.errors()[0]) from None


def validation_error(error: ErrorDetails) -> ApiError:
    """The answer to a value that a check of pydantic's did not let pass."""
    field = ".".join(map(str, error["loc"])) or "body"
    if error["type"] == "missing":
        return ApiError(
            422, "invalid_value", f"{field} is missing; it is required.", field=field, value=None
        )
    if error["type"] == "extra_forbidden":
        return invalid_value(field, error["input"], "there is no such parameter")
    return invalid_value(field, error["input"], error["msg"][:1].lower() + error["msg"][1:])


async def _read_body(request: Request) -> dict[str, Any]:
    try:
        body = await request.body()
    except ClientDisconnect:
        raise ApiError(408, "too_slow", "The request ended before its body had arrived.") from None
    if not body.strip():
        return {}
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiError(
            400,
            "malformed_json",
            f"The body is not valid JSON: {error}. Send a JSON object, such as {{}}.",
        ) from None
    if not isinstance(fields, dict):
        raise ApiError(
            400,
            "malformed_json",
            f"The body is {shown_value(fields)}. Send a JSON object, such as {{}}.",
        )
    return fields
