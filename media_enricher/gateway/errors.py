"""Refusals: every answer that is an error, in one shape.

`{"error": "a sentence.", "code": "a_slug", …}`, where what follows says more: the field and its
value, what is allowed, when to try again.
"""

from __future__ import annotations

import math
from typing import Any

from starlette.responses import JSONResponse


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

    def answer(self) -> JSONResponse:
        """The answer that tells of it."""
        body = {"error": self.error, "code": self.code, **self.extras}
        return JSONResponse(body, self.status, self.headers)


def try_later(status: int, code: str, error: str, seconds: float) -> ApiError:
    """A refusal (429, 503) that says in how many seconds to try again: in the body and in a header.

    Args:
        status: of HTTP.
        code: a slug.
        error: a sentence.
        seconds: rounded up, and at least 1, for the header holds whole seconds.
    """
    whole = max(1, math.ceil(seconds))
    return ApiError(status, code, error, headers={"Retry-After": str(whole)}, retry_after=whole)


def unavailable(what: str, seconds: float = 2) -> ApiError:
    """503: somebody whom we need is away.

    Args:
        what: is wrong, as a sentence.
        seconds: until it is worth another try.
    """
    return try_later(503, "unavailable", f"{what} Try again in a moment.", seconds)
