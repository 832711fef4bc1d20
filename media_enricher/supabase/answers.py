"""What an answer of Supabase that is an error means, whichever of its services gave it.

PostgREST answers with a JSON body whose `code` is its own (`PGRST…`) or a SQLSTATE. Storage answers
nearly every error with HTTP 400 (a few with 500) and the truth in the body: `{"statusCode": "404",
"error": "not_found", "message": …, "code": "NoSuchKey"}`. The gateway in front of both may answer
with a page of HTML. Pure functions of status, headers and body: no client is imported here.
"""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from media_enricher.models import ErrorCode
from media_enricher.supabase.errors import SupabaseError

_DATABASE_TIMEOUT = 544  # Storage's own: its database had no time for us
_OVERLOAD_STATUSES = {429, 503, _DATABASE_TIMEOUT}
_LONGEST_MESSAGE = 500

_TRANSIENT_DATABASE_CODES = {
    "PGRST000": ErrorCode.UNAVAILABLE,  # PostgREST can't connect to the database
    "PGRST001": ErrorCode.UNAVAILABLE,
    "PGRST002": ErrorCode.UNAVAILABLE,  # nor read its schema, as while it starts
    "PGRST003": ErrorCode.TIMEOUT,  # no connection of its pool was free in time
    "40001": ErrorCode.UNAVAILABLE,  # serialization failure
    "40P01": ErrorCode.UNAVAILABLE,  # deadlock
    "53300": ErrorCode.UNAVAILABLE,  # too many connections
    "53400": ErrorCode.UNAVAILABLE,
    "55P03": ErrorCode.TIMEOUT,  # lock_timeout
    "57014": ErrorCode.TIMEOUT,  # statement_timeout
    "57P01": ErrorCode.UNAVAILABLE,  # the server is being stopped
    "57P02": ErrorCode.UNAVAILABLE,
    "57P03": ErrorCode.UNAVAILABLE,  # or started
}
_DATABASE_OVERLOAD = {"PGRST003", "53300", "55P03", "57014"}

_ADVICE = {
    "PGRST202": "Run `media-enricher migrate`, for the function is missing or of another version",
    "PGRST205": "Run `media-enricher migrate`, for the table is missing",
    "42P01": "Run `media-enricher migrate`, for a table is missing",
    "42883": "Run `media-enricher migrate`, for a function is missing",
    "42501": "SUPABASE_SECRET_KEY must be a secret key (sb_secret_…, or that of service_role)",
    "PGRST301": "Check SUPABASE_URL and SUPABASE_SECRET_KEY: they must be of the same project",
    "PGRST303": "Check SUPABASE_URL and SUPABASE_SECRET_KEY: they must be of the same project",
}


def error_from_answer(
    what: str, status: int, headers: Mapping[str, str], body: bytes
) -> SupabaseError:
    """The error that an answer with a status of 400 or more stands for.

    Args:
        what: was asked for, to begin the message with: `POST /rest/v1/rpc/media_record_assets`.
        status: of HTTP.
        headers: with names compared as the mapping does; `Retry-After` is looked up.
        body: as it came, JSON or not.
    """
    told = _json_object(body)
    service_code = str(told.get("code") or "")
    true_status = _true_status(status, told)
    code = _TRANSIENT_DATABASE_CODES.get(service_code) or _code(true_status, service_code)
    is_overload = true_status in _OVERLOAD_STATUSES or service_code in _DATABASE_OVERLOAD
    return SupabaseError(
        code,
        f"{what}: {_message(true_status, told, service_code, body)}",
        retry_after=_retry_after(headers) if code.is_transient else None,
        is_overload=is_overload and code.is_transient,
    )


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _true_status(status: int, told: Mapping[str, Any]) -> int:
    in_body = str(told.get("statusCode") or "")
    return int(in_body) if re.fullmatch(r"[45]\d\d", in_body) else status


def _code(status: int, service_code: str) -> ErrorCode:
    """Why, by the true status."""
    if service_code in {"NoSuchKey", "NoSuchBucket"} or status == HTTPStatus.NOT_FOUND:
        return ErrorCode.NOT_FOUND
    if _is_sqlstate(service_code):  # an error of the request, whatever its status: 500 at times
        return ErrorCode.FORBIDDEN if service_code == "42501" else ErrorCode.REJECTED
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return ErrorCode.FORBIDDEN
    if status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT, _DATABASE_TIMEOUT}:
        return ErrorCode.TIMEOUT
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return ErrorCode.RATE_LIMITED
    return ErrorCode.UNAVAILABLE if status >= 500 else ErrorCode.REJECTED


def _is_sqlstate(code: str) -> bool:
    """Whether a code is of Postgres, and of a class that asking again does not change.

    Left out are 08 (connection), 53 (resources), 57 (operator) and 58 and XX (the system).
    """
    return re.fullmatch(r"(?!08|53|57|58|XX)[0-9A-Z]{5}", code) is not None


def _message(status: int, told: Mapping[str, Any], service_code: str, body: bytes) -> str:
    said = told.get("message") or told.get("msg") or told.get("error")
    if not said:
        said = " ".join(body.decode("utf-8", "replace").split()) or "no explanation"
    parts = [f"{str(said)[:_LONGEST_MESSAGE]} (HTTP {status}"]
    parts.append(f", {service_code})" if service_code else ")")
    advice = _ADVICE.get(service_code) or told.get("hint")
    if advice:
        parts.append(f". {advice}")
    return "".join(parts)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from a header that holds seconds or a date."""
    value = headers.get("Retry-After") or headers.get("retry-after")
    if value is None:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", value.strip()):
        return float(value)
    try:
        when = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
