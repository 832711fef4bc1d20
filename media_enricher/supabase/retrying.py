"""The one retry policy for calls to Supabase: tables, functions, and objects other than downloads.

A call is retried if the same request may succeed later (`SupabaseError.is_transient`), after a
delay that doubles, with jitter, or as long as the server asks. Every call that goes through here
must be safe to repeat: if a response is lost, the request may still have been carried out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import TypeVar

import httpx
import tenacity

from media_enricher.models import ErrorCode
from media_enricher.settings import settings
from media_enricher.supabase.errors import SupabaseError, error_from_response

LONGEST_WAIT_SECONDS = 60.0
"""The upper limit of every delay, also of one that a server asks for."""

_logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")
_deadline: ContextVar[float | None] = ContextVar("_deadline", default=None)


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Within this context, no call begins another attempt after so many seconds in total.

    An attempt under way is not cut short; the client's timeout does that (`client.connect`). The
    gateway uses this because it must respond in time, and rather fails than waits.

    Args:
        seconds: from now, for all calls together; 0 for no retries.
    """
    token = _deadline.set(monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def call(what: str, request: Callable[[], _Result]) -> _Result:
    """Make a request, retry it if it may succeed later, and return its result.

    Args:
        what: the name of the request, which begins error messages: `media_count_pending`.
        request: makes the request with a client of `client.connect`; safe to repeat.

    Raises:
        SupabaseError: the error is permanent, or every retry failed.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_transient),
        stop=tenacity.stop_after_attempt(1 + settings().retries) | _Patience(),
        wait=_Wait(settings().retry_delay_seconds),
        before_sleep=_log,
        reraise=True,
    )
    result: _Result = retrying(_translated, what, request)
    return result


def raise_for_error(response: httpx.Response) -> None:
    """Raise the error of a response, if it is one. A response hook of every client we create.

    It is a hook because the errors of postgrest and storage3 lack the status and `Retry-After`.

    Raises:
        SupabaseError: the status is 400 or more.
    """
    if response.status_code < 400:
        return
    response.read()
    request = response.request
    raise error_from_response(
        f"{request.method} {request.url.path}",
        response.status_code,
        response.headers,
        response.content,
    )


def _translated(what: str, request: Callable[[], _Result]) -> _Result:
    try:
        return request()
    except httpx.TimeoutException as error:
        raise SupabaseError(
            ErrorCode.TIMEOUT,
            f"{what}: no response within {_allowed_seconds(error):g} s ({type(error).__name__})",
        ) from error
    except httpx.TransportError as error:
        reason = str(error) or type(error).__name__
        raise SupabaseError(ErrorCode.NETWORK, f"{what}: {reason}") from error


def _allowed_seconds(error: httpx.TimeoutException) -> float:
    """How long the client waited."""
    timeout: dict[str, float] = error.request.extensions["timeout"]
    return timeout["connect" if isinstance(error, httpx.ConnectTimeout) else "read"]


class _Patience(tenacity.stop.stop_base):
    """Whether the next attempt would begin after the deadline of `patience`."""

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        deadline = _deadline.get()
        return deadline is not None and monotonic() + retry_state.upcoming_sleep > deadline


class _Wait(tenacity.wait.wait_base):
    """Doubling with jitter, and never less than the server asked for."""

    def __init__(self, first: float) -> None:
        self._backoff = tenacity.wait_random_exponential(multiplier=first, max=LONGEST_WAIT_SECONDS)

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        requested = error.retry_after if isinstance(error, SupabaseError) else None
        return min(max(self._backoff(retry_state), requested or 0.0), LONGEST_WAIT_SECONDS)


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, SupabaseError) and error.is_transient


def _log(retry_state: tenacity.RetryCallState) -> None:
    error = retry_state.outcome.exception() if retry_state.outcome else None
    wait = retry_state.next_action.sleep if retry_state.next_action else 0.0
    _logger.warning(
        "attempt %d failed, next attempt in %.1f s: %s", retry_state.attempt_number, wait, error
    )
