"""What may be asked over HTTP: one model a request, for its checks and for the OpenAPI document.

A request's fields come in the query or in a JSON body; where both have one, the query wins.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Literal, TypeVar

import orjson
from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import ClientDisconnect

from media_enricher.gateway.errors import ApiError
from media_enricher.models import Depth, Mode
from media_enricher.parameters import BucketName, Limit, Path, Prefix

_LONGEST_VALUE = 200


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SweepRequest(_Asked):
    """`POST /cron`: a health report, or with a bucket a sweep of what is missing."""

    bucket: BucketName | None = Field(
        default=None, description="The Storage bucket. Without it, the answer is a health report."
    )
    prefix: Prefix = Field(default="", description="Only objects whose path starts with this.")
    limit: Limit | None = Field(default=None, description="The most objects to do in this run.")
    depth: Depth = Field(
        default=Depth.FULL, description="`header`: a first range of each object. `full`: all of it."
    )


class BackfillRequest(_Asked):
    """`POST /backfill`: a run over a bucket."""

    bucket: BucketName = Field(description="The Storage bucket.")
    prefix: Prefix = Field(default="", description="Only objects whose path starts with this.")
    limit: Limit | None = Field(default=None, description="The most objects to do in this run.")
    mode: Mode = Field(default=Mode.MISSING, description="Which objects to work on.")
    depth: Depth = Field(
        default=Depth.FULL, description="`header`: a first range of each object. `full`: all of it."
    )
    dry_run: bool = Field(default=False, description="Count what would be done, and do nothing.")


class ObjectRequest(_Asked):
    """`POST /enrich`: one object, again even if it was enriched before."""

    bucket: BucketName = Field(description="The Storage bucket.")
    path: Path = Field(description="The object's path in the bucket.")


class ObjectRecord(BaseModel):
    """What is looked at in a row of `storage.objects`."""

    bucket_id: BucketName
    name: Path


class ObjectChange(BaseModel):
    """`POST /enrich`: the payload of a Supabase database webhook on `storage.objects`."""

    type: Literal["INSERT", "UPDATE", "DELETE"]
    table: Literal["objects"]
    # Named by the contract's payload; pydantic's own `schema` is deprecated.
    schema_: Literal["storage"] = Field(alias="schema")
    record: ObjectRecord | None = None
    old_record: ObjectRecord | None = None

    def objects(self) -> list[ObjectRecord]:
        """The objects to look at: what there is now, and what there was before."""
        found = (self.record, self.old_record)
        return list({(each.bucket_id, each.name): each for each in found if each}.values())

    def buckets(self) -> str:
        """The buckets that it is about, for a sentence."""
        return ", ".join(sorted({each.bucket_id for each in self.objects()})) or "none"


_Model = TypeVar("_Model", bound=BaseModel)


async def fields_of(request: Request) -> dict[str, Any]:
    """The fields of a request, from its query and its body.

    Raises:
        ApiError: the body is no JSON object (400), or the query names a field twice (422).
    """
    in_query = request.query_params.multi_items()
    for name, count in Counter(name for name, _ in in_query).items():
        if count > 1:
            raise invalid(name, request.query_params.getlist(name), "it is given more than once")
    return await _body_of(request) | dict(in_query)


def parse(model: type[_Model], fields: dict[str, Any]) -> _Model:
    """The fields as the model that checks them; a field that is null counts as not given.

    Raises:
        ApiError: 422; it names the first field that is wrong, its value and what is allowed.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise refuse_invalid(error.errors()[0]) from None


def refuse_invalid(error: ErrorDetails) -> ApiError:
    """The answer to a value that a check did not let pass."""
    field = ".".join(map(str, error["loc"])) or "body"
    if error["type"] == "missing":
        return ApiError(
            422, "invalid_value", f"{field} is missing; it is required.", field=field, value=None
        )
    if error["type"] == "extra_forbidden":
        return invalid(field, error["input"], "there is no such parameter")
    return invalid(field, error["input"], error["msg"][:1].lower() + error["msg"][1:])


def invalid(field: str, value: Any, reason: str) -> ApiError:
    """The answer to a value that is not allowed.

    Args:
        field: where it stands.
        value: as it was given; shown shortened.
        reason: why not, or what is allowed, to end the sentence with.
    """
    shown = _shown(value)
    return ApiError(
        422,
        "invalid_value",
        f"{field} is {shown}, which is not allowed: {reason}.",
        field=field,
        value=shown,
        allowed=reason,
    )


async def _body_of(request: Request) -> dict[str, Any]:
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
            400, "malformed_json", f"The body is no JSON: {error}. Send an object, as {{}}."
        ) from None
    if not isinstance(fields, dict):
        raise ApiError(
            400, "malformed_json", f"The body is {_shown(fields)}. Send a JSON object, as {{}}."
        )
    return fields


def _shown(value: Any) -> str:
    """A value as JSON, shortened, for a sentence; of text that no JSON holds, what it can."""
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
