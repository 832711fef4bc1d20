"""What Storage's answers mean: statuses, error bodies and the few headers that matter."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from media_enricher.models import ErrorCode
from media_enricher.supabase.errors import SupabaseError

_OVERLOADED = frozenset({429, 503, 544})
_GONE = frozenset({"nosuchkey", "nosuchbucket", "not_found", "notfound"})
_LONGEST_MESSAGE = 300
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> SupabaseError:
    """What an answer that is not a success means.

    Storage answers nearly every error with HTTP 400 and puts the truth in the body:
    `{"statusCode":"404","error":"not_found","message":"Object not found","code":"NoSuchKey"}`. A
    gateway or CDN in front of it answers with a status and a body of its own making.
    """
    details = _details(body)
    told = details.get("statusCode", "")
    truth = int(told) if told.isdecimal() and told != "200" else status
    names = {details.get(key, "").lower() for key in ("error", "code")}
    message = f"Storage answered {status}" + _explanation(details, truth if truth != status else 0)
    overloaded = not _OVERLOADED.isdisjoint((status, truth))
    return SupabaseError(
        _code(status, truth, is_gone=not _GONE.isdisjoint(names)),
        message[:_LONGEST_MESSAGE],
        retry_after=retry_after_seconds(headers.get("Retry-After")) if overloaded else None,
        is_overload=overloaded,
    )


def _code(status: int, truth: int, *, is_gone: bool) -> ErrorCode:
    if 429 in (status, truth):
        return ErrorCode.RATE_LIMITED
    if is_gone or truth == 404:
        return ErrorCode.NOT_FOUND
    if truth in (401, 403):
        return ErrorCode.FORBIDDEN
    if truth in (408, 544) or status == 544:
        return ErrorCode.TIMEOUT
    if max(status, truth) >= 500:
        return ErrorCode.UNAVAILABLE
    return ErrorCode.REJECTED


def _details(body: bytes) -> dict[str, str]:
    """The members of an error body, as text; nothing where the body is no JSON object."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    if not isinstance(parsed, dict):
        return {}
    return {key: str(value) for key, value in parsed.items() if value is not None}


def _explanation(details: dict[str, str], truth: int) -> str:
    names = (details.get("code"), details.get("error"))
    known = [str(truth)] if truth else []
    known += [name for name in dict.fromkeys(names) if name]
    text = details.get("message", "")
    return (f" ({', '.join(known)})" if known else "") + (f": {text}" if text else "")


def retry_after_seconds(header: str | None, *, now: datetime | None = None) -> float | None:
    """The seconds that a Retry-After header asks for; it holds seconds or an HTTP date.

    None without a header, or where it says neither.
    """
    if header is None:
        return None
    try:
        return max(0.0, float(int(header)))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(header)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - (now or datetime.now(UTC))).total_seconds())


def bare_etag(etag: str | None) -> str | None:
    """An etag as it is stored and compared: without `W/`, with its double quotes."""
    return etag.removeprefix("W/") if etag else None


def content_range(header: str | None) -> tuple[int, int, int | None] | None:
    """Where a part of an object starts, where it stops (exclusive), and the object's size.

    The size is None where the server does not know it; the answer None where there is no range.
    """
    match = _CONTENT_RANGE.fullmatch(header or "")
    if match is None or match[1] is None:
        return None
    return int(match[1]), int(match[2]) + 1, None if match[3] == "*" else int(match[3])
