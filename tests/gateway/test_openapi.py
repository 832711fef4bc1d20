"""The OpenAPI document tells the truth: schemathesis asks what it allows, and what it does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.gateway.conftest import Gateway

EXAMPLES = 25
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]


def ask_for(operation: Any, mode: GenerationMode, headers: dict[str, str]) -> None:
    """Send an operation many requests, all valid or all invalid, and check each answer."""

    @hypothesis.settings(
        max_examples=EXAMPLES,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        answer = case.call(headers=headers)
        is_health_report = operation.path.endswith("/cron") and "checks" in answer.json()
        assert answer.status_code < 500 or is_health_report, answer.text
        case.validate_response(answer, checks=CHECKS)

    ask()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_answer_is_undocumented_and_none_is_a_failure_of_ours(
    gateway: Gateway, mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_url(f"{gateway.url}/openapi.json")
    headers = {"authorization": f"Bearer {gateway.stack.service_key}"}
    asked = set()
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        takes_something = operation.query or operation.body or operation.path_parameters
        if mode.is_positive or takes_something:  # else there is nothing to get wrong
            ask_for(operation, mode, headers)
            asked.add(operation.label)

    assert "POST /media-enricher/backfill" in asked
    assert len(asked) >= 7


def test_the_contracts_parameters_are_in_it(gateway: Gateway) -> None:
    document = httpx.get(f"{gateway.url}/openapi.json").json()

    parameters = document["paths"]["/media-enricher/backfill"]["post"]["parameters"]
    by_name = {each["name"]: each for each in parameters}
    assert by_name["bucket"]["required"] is True
    assert {"prefix", "limit", "mode", "depth", "dry_run", "Idempotency-Key"} <= set(by_name)
    assert not any(path.startswith("/functions") for path in document["paths"])


def test_pages_of_other_origins_are_let_in_by_the_list(
    gateway: Gateway, start_gateway: Callable[..., Gateway]
) -> None:
    listed = start_gateway(MEDIA_ENRICHER_CORS_ORIGINS="https://app.example.com")
    asked = {
        "origin": "https://app.example.com",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,apikey,content-type,x-client-info",
    }

    allowed = listed.http.options("/backfill", headers=asked)
    refused = gateway.http.options("/backfill", headers=asked)
    answer = listed.http.post("/backfill", headers={"origin": "https://app.example.com"})

    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "access-control-allow-origin" not in refused.headers
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com", "errors too"
