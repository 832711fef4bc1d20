"""docs/reference/http-api.md: from the gateway's OpenAPI document."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from docs.tools.tables import code, table
from media_enricher import settings
from media_enricher.gateway.app import create_app

TEMPLATE = """\
# HTTP API

[Start and watch runs over HTTP](../guides/runs-over-http.md) has examples, and says who may start runs. `GET /openapi.json` has every route, parameter and answer in full, and `GET /media-enricher/admin` is the admin page.

{overview}

Every route is also there under `/functions/v1`, where supabase-js looks for functions: on a hosted project, the [Edge Function](../guides/hosted-supabase.md#5-the-edge-function) answers there and asks the gateway; elsewhere, let your proxy pass that path on. In a query, an empty `limit=` or `prefix=` counts as not given, and `forceFunctionRegion=`, which supabase-js adds for a region, is ignored. [examples/nextjs](../../examples/nextjs) has a React component and server routes to copy.

## Errors

An error has one shape, `{{"error": "a sentence", "code": "a_slug", …}}`. [Error codes](error-codes.md) lists the codes.

{routes}
"""  # noqa: E501

# What a caller has to know of a route beside what its docstring says.
NOTES = {
    "POST /media-enricher/backfill": "The parameters are those of [a backfill](../guides/backfill.md). 200 and `already_running: true` come with the run that is under way for the same bucket and prefix, or for a broader prefix if it does all that was asked; `asked_prefix` then says what that was.",  # noqa: E501
    "GET /media-enricher/runs": "A run has the columns of [`media_enrich_runs`](tables.md#media_enrich_runs), and `objects_per_second`, `seconds_left` and `prefect_url`.",  # noqa: E501
    "GET /media-enricher/runs/{run_id}": "The failures are told by reason, as this run saw them: deleted (`gone`) and missing (`not_found`) objects too.",  # noqa: E501
    "POST /media-enricher/runs/{run_id}/cancel": "It answers 409 if the run has ended.",
}

Json = dict[str, Any]


def page() -> str:
    """The text of the page.

    Raises:
        LookupError: a note is about a route that does not exist.
    """
    document = _document()
    routes = {
        f"{method.upper()} {path}": operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    if unknown := NOTES.keys() - routes.keys():
        raise LookupError(f"there are notes about {sorted(unknown)}, which are no routes")
    schemas = document["components"]["schemas"]
    return TEMPLATE.format(
        overview=table(
            ("route", "what it does"),
            (
                (f"[{code(route)}](#{_anchor(route)})", each["summary"])
                for route, each in routes.items()
            ),
        ),
        routes="\n\n".join(_section(route, each, schemas) for route, each in routes.items()),
    )


@contextmanager
def _bare_environment() -> Iterator[None]:
    """Settings that say just what the gateway can't do without, whatever is set here."""
    readers = (settings.settings, settings.supabase_settings, settings.gateway_settings)
    project = {"SUPABASE_URL": "http://localhost", "SUPABASE_SECRET_KEY": "sb_secret_of_no_project"}
    with (
        TemporaryDirectory() as folder,  # without a .env
        chdir(folder),
        patch.dict(os.environ, {**project, "HOME": os.environ.get("HOME", folder)}, clear=True),
    ):
        for reader in readers:
            reader.cache_clear()
        try:
            yield
        finally:
            for reader in readers:
                reader.cache_clear()


def _document() -> Json:
    with _bare_environment():
        return create_app().openapi()


def _section(route: str, operation: Json, schemas: Json) -> str:
    parts = [f"## {route}", f"{operation['summary'].rstrip('.?')}{_end(operation['summary'])}"]
    parts += map(_joined, operation.get("description", "").split("\n\n"))
    parts.append(NOTES.get(route, ""))
    if parameters := operation.get("parameters"):
        parts.append(
            table(
                ("parameter", "in", "default", "what it is"),
                (_parameter(each, schemas) for each in parameters),
            )
        )
    parts.append(_body(operation))
    parts.append(table(("answer", "when"), _answers(operation["responses"], schemas)))
    return "\n\n".join(part for part in parts if part)


def _answers(responses: Json, schemas: Json) -> Iterator[tuple[str, str]]:
    """The answers of a route by status; those of the one shape of errors in one line, the last."""
    errors = []
    for status, answer in sorted(responses.items()):
        models = _models(answer)
        if models and all(_is_error(schemas[model]) for model in models):
            errors.append(status)
            continue
        when = answer["description"]
        if when == "Successful Response":  # what FastAPI says where the route says nothing
            when = (
                "The request was carried out." if status == "200" else "The request was accepted."
            )
        yield f"{status} {' or '.join(map(code, models))}".strip(), when
    if errors:
        yield ", ".join(errors), "An error: see [error codes](error-codes.md#the-http-api)."


def _is_error(model: Json) -> bool:
    """Whether a model is the one shape of errors."""
    return {"error", "code"} <= set(model.get("properties", ()))


def _joined(paragraph: str) -> str:
    """A paragraph in one line."""
    return " ".join(paragraph.split())


def _end(sentence: str) -> str:
    return sentence[-1] if sentence[-1] in ".?" else "."


def _parameter(parameter: Json, schemas: Json) -> tuple[str, str, str, str]:
    schema = parameter["schema"]
    meaning = parameter.get("description", "")
    if choices := _choices(schema, schemas):
        meaning = f"{meaning} One of {', '.join(map(code, choices))}."
    return (
        code(parameter["name"]),
        parameter["in"],
        "required" if parameter["required"] else _default(schema),
        meaning.strip(),
    )


def _default(schema: Json) -> str:
    default = schema.get("default")
    if default in (None, ""):
        return ""
    return code(str(default).lower() if isinstance(default, bool) else default)


def _choices(schema: Json, schemas: Json) -> list[str]:
    """The only values of a parameter, if it is an enum."""
    for each in (schema, *schema.get("anyOf", ())):
        reference = each.get("$ref", "").rpartition("/")[2]
        found: list[str] = each.get("enum") or schemas.get(reference, {}).get("enum") or []
        if found:
            return found
    return []


def _body(operation: Json) -> str:
    """The fields of a JSON body; those that the query has as well are not told again."""
    if "requestBody" not in operation:
        return ""
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    if "anyOf" not in schema:
        return "The parameters of the query may come as a JSON body instead. The query wins."
    bodies = (", ".join(map(code, each["properties"])) for each in schema["anyOf"])
    return f"The JSON body has the fields {'; or '.join(bodies)}."


def _models(answer: Json) -> list[str]:
    """The names of the answer's models in the OpenAPI document."""
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    return [
        each["$ref"].rpartition("/")[2]
        for each in (schema, *schema.get("anyOf", ()))
        if "$ref" in each
    ]


def _anchor(route: str) -> str:
    """The anchor of a route's heading, as forges make it."""
    return "".join(c for c in route.lower().replace(" ", "-") if c.isalnum() or c in "-_")
