"""The one error that calls to Supabase raise, and how a response of any of its services maps to it.

Every call to Supabase, through whichever client, raises `SupabaseError` and nothing else.

PostgREST responds with a JSON body whose `code` is its own (`PGRST…`) or a SQLSTATE. Storage
responds to nearly every error with HTTP 400 (to a few with 500) and puts the true status into the
body: `{"statusCode": "404", "error": "not_found", "message": …, "code": "NoSuchKey"}`. The API
gateway in front of both may respond with a page of HTML. The functions here are pure functions of
status, headers and body; no client is imported.
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

_DATABASE_TIMEOUT = 544  # Storage's own status: its database timed out
_OVERLOAD_STATUSES = {429, 503, _DATABASE_TIMEOUT}
_LONGEST_MESSAGE = 500

_TRANSIENT_DATABASE_CODES = {
    "PGRST000": ErrorCode.UNAVAILABLE,  # PostgREST can't connect to the database
    "PGRST001": ErrorCode.UNAVAILABLE,
    "PGRST002": ErrorCode.UNAVAILABLE,  # it can't read the schema, for example while it starts
    "PGRST003": ErrorCode.TIMEOUT,  # no connection of its pool became free in time
    "40001": ErrorCode.UNAVAILABLE,  # serialization failure
    "40P01": ErrorCode.UNAVAILABLE,  # deadlock
    "53300": ErrorCode.UNAVAILABLE,  # too many connections
    "53400": ErrorCode.UNAVAILABLE,
    "55P03": ErrorCode.TIMEOUT,  # lock_timeout
    "57014": ErrorCode.TIMEOUT,  # statement_timeout
    "57P01": ErrorCode.UNAVAILABLE,  # the server is being stopped
    "57P02": ErrorCode.UNAVAILABLE,
    "57P03": ErrorCode.UNAVAILABLE,  # the server is starting
}
_DATABASE_OVERLOAD = {"PGRST003", "53300", "55P03", "57014"}

_ADVICE = {
    "PGRST202": "The function is missing or has another version: run `media-enricher migrate`",
    "PGRST205": "The table is missing: run `media-enricher migrate`",
    "42P01": "A table is missing: run `media-enricher migrate`",
    "42883": "A function is missing: run `media-enricher migrate`",
    "42501": "SUPABASE_SECRET_KEY must be a secret key (sb_secret_…, or the service_role key)",
    "PGRST301": "Check SUPABASE_URL and SUPABASE_SECRET_KEY: they must belong to the same project",
    "PGRST303": "Check SUPABASE_URL and SUPABASE_SECRET_KEY: they must belong to the same project",
}


class SupabaseError(Exception):
    """Supabase did not do what was asked.

    Attributes:
        code: the reason, as in `media_assets.error_code`.
        retry_after: seconds that the server asked us to wait; None if it did not say.
        is_overload: the server asked for less (429, 503, 544), so fewer requests at once may help.
        status: the true HTTP status, which may be in the body; None without a response.
        service_code: what the service calls it, such as `NoSuchKey`; empty if it does not say.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        retry_after: float | None = None,
        is_overload: bool = False,
        status: int | None = None,
        service_code: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after
        self.is_overload = is_overload
        self.status = status
        self.service_code = service_code

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.code.is_transient


def error_from_response(
    what: str, status: int, headers: Mapping[str, str], body: bytes
) -> SupabaseError:
    """Map a response with a status of 400 or more to an error.

    Args:
        what: the request, which begins the message: `POST /rest/v1/rpc/media_record_assets`.
        status: the HTTP status.
        headers: the response headers, of which only `Retry-After` is read.
        body: the raw body, JSON or not.
    """
    payload = _json_object(body)
    service_code = str(payload.get("code") or "")
    true_status = _true_status(status, payload)
    code = _TRANSIENT_DATABASE_CODES.get(service_code) or _code(true_status, service_code)
    is_overload = true_status in _OVERLOAD_STATUSES or service_code in _DATABASE_OVERLOAD
    return SupabaseError(
        code,
        f"{what}: {_message(true_status, payload, service_code, body)}",
        retry_after=_retry_after(headers) if code.is_transient else None,
        is_overload=is_overload and code.is_transient,
        status=true_status,
        service_code=service_code,
    )


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        payload = json.loads(body)
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) else {}


def _true_status(status: int, payload: Mapping[str, Any]) -> int:
    in_body = str(payload.get("statusCode") or "")
    return int(in_body) if re.fullmatch(r"[45]\d\d", in_body) else status


def _code(status: int, service_code: str) -> ErrorCode:
    """The error code for a true status."""
    if service_code in {"NoSuchKey", "NoSuchBucket"} or status == HTTPStatus.NOT_FOUND:
        return ErrorCode.NOT_FOUND
    if _is_sqlstate(service_code):  # the request is wrong, even where the status is 500
        return ErrorCode.FORBIDDEN if service_code == "42501" else ErrorCode.REJECTED
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return ErrorCode.FORBIDDEN
    if status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT, _DATABASE_TIMEOUT}:
        return ErrorCode.TIMEOUT
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return ErrorCode.RATE_LIMITED
    return ErrorCode.UNAVAILABLE if status >= 500 else ErrorCode.REJECTED


def _is_sqlstate(code: str) -> bool:
    """Whether a code is a SQLSTATE of a class that a retry does not help.

    The other classes are 08 (connection), 53 (resources), 57 (operator), 58 and XX (system).
    """
    return re.fullmatch(r"(?!08|53|57|58|XX)[0-9A-Z]{5}", code) is not None


def _message(status: int, payload: Mapping[str, Any], service_code: str, body: bytes) -> str:
    said = payload.get("message") or payload.get("msg") or payload.get("error")
    if not said:
        said = " ".join(body.decode("utf-8", "replace").split()) or "no error message"
    parts = [f"{str(said)[:_LONGEST_MESSAGE]} (HTTP {status}"]
    parts.append(f", {service_code})" if service_code else ")")
    advice = _ADVICE.get(service_code) or payload.get("hint")
    if advice:
        parts.append(f". {advice}")
    return "".join(parts)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from a header that holds either seconds or a date."""
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
