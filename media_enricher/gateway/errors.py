"""Every answer that is an error, in one shape.

`{"error": "a sentence.", "code": "a_slug", …}`, where what follows says more: the field and its
value, what is allowed, when to try again.
"""

from __future__ import annotations

import json
import math
from typing import Any

from starlette.responses import JSONResponse

_LONGEST_VALUE = 200


class ApiError(Exception):
    """A request that is not carried out. Raise it anywhere while one is answered.

    Attributes:
        status: of HTTP.
        code: a slug for programs.
        error: a sentence for people: what was wrong, with which value, and what to do.
        headers: of the answer.
        extras: further members of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        error: str,
        /,
        *,
        headers: dict[str, str] | None = None,
        **extras: Any,
    ) -> None:
        super().__init__(error)
        self.status = status
        self.code = code
        self.error = error
        self.headers = headers or {}
        self.extras = extras

    def response(self) -> JSONResponse:
        """The answer that tells of it."""
        body = {"error": self.error, "code": self.code, **self.extras}
        return JSONResponse(body, self.status, self.headers)


def retry_later(status: int, code: str, error: str, seconds: float) -> ApiError:
    """An error (429, 503) that says in how many seconds to try again: in the body and in a header.

    Args:
        status: of HTTP.
        code: a slug.
        error: a sentence.
        seconds: rounded up, and at least 1, for the header holds whole seconds.
    """
    whole = max(1, math.ceil(seconds))
    return ApiError(status, code, error, headers={"Retry-After": str(whole)}, retry_after=whole)


def unavailable(what: str, seconds: float = 2) -> ApiError:
    """503: a service that the gateway needs is away.

    Args:
        what: is wrong, as a sentence.
        seconds: until it is worth another try.
    """
    return retry_later(503, "unavailable", f"{what} Try again in a moment.", seconds)


def invalid_value(field: str, value: Any, reason: str) -> ApiError:
    """422: a value that is not allowed.

    Args:
        field: where it stands.
        value: as it was given; shown shortened.
        reason: why not, or what is allowed, to end the sentence with.
    """
    shown = shown_value(value)
    return ApiError(
        422,
        "invalid_value",
        f"{field} is {shown}, which is not allowed: {reason}.",
        field=field,
        value=shown,
        allowed=reason,
    )


def shown_value(value: Any) -> str:
    """A value as JSON, shortened, for a sentence; of text that no JSON holds, what it can."""
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
