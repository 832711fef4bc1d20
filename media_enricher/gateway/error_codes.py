"""The codes of answers that are errors, for programs to tell them apart.

The errors themselves are raised where they are found. tests/gateway/test_error_codes.py holds this
list to them, and docs/reference/error-codes.md is generated from it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class ApiErrorCode(StrEnum):
    """What was wrong with a request, and what to do about it."""

    status: int
    """The HTTP status that goes with the code."""

    def __new__(cls, code: str, status: int) -> Self:
        """Make a member of its code, and of its status."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.status = status
        return member

    MALFORMED_JSON = "malformed_json", 400
    """The body is not a JSON object. Send one, as `{}`."""
    OWN_BUCKET = "own_bucket", 400
    """The bucket holds what runs store themselves. Choose another one."""
    NO_TOKEN = "no_token", 401
    """There is no token. Sign in and send the session's access token."""
    BAD_TOKEN = "bad_token", 401
    """The token, or the secret of a webhook, proves nothing. Sign in again."""
    EXPIRED_TOKEN = "expired_token", 401
    """The token has expired. Refresh the session."""
    ANONYMOUS_KEY = "anonymous_key", 401
    """The token is the project's public key. Sign in and send the session's access token."""
    NOT_ADMIN = "not_admin", 403
    """Only admins may do this. Ask whoever runs the project."""
    OUTSIDE_TENANT = "outside_tenant", 403
    """The path is not in the caller's tenant's folder. `allowed` has the folder."""
    NOT_READABLE = "not_readable", 403
    """Storage's policies do not let the caller read this. Ask whoever runs the project."""
    NOT_YOURS = "not_yours", 403
    """Somebody else started the run."""
    NOT_FOUND = "not_found", 404
    """There is no such route."""
    UNKNOWN_BUCKET = "unknown_bucket", 404
    """There is no such bucket. Names of buckets are case-sensitive."""
    UNKNOWN_ASSET = "unknown_asset", 404
    """There is no such asset, or it is not the caller's to see."""
    UNKNOWN_RUN = "unknown_run", 404
    """There is no such run that the caller may see."""
    METHOD_NOT_ALLOWED = "method_not_allowed", 405
    """The route does not take this method. The header `Allow` has those that it takes."""
    TOO_SLOW = "too_slow", 408
    """The request did not arrive in time. Send it again."""
    RUN_HAS_ENDED = "run_has_ended", 409
    """The run has ended, so it can't be cancelled. `status` says how."""
    UNKNOWN_TO_PREFECT = "unknown_to_prefect", 409
    """The run was started against another Prefect server. Cancel it there."""
    TOO_LARGE = "too_large", 413
    """The body is too large. `allowed` has the most bytes."""
    INVALID_VALUE = "invalid_value", 422
    """A value is missing or not allowed. See `field`, `value` and `allowed`."""
    KEY_REUSED = "key_reused", 422
    """The Idempotency-Key was used for another request. Use a new key."""
    RATE_LIMITED = "rate_limited", 429
    """Too many requests came. Wait for `Retry-After` seconds."""
    TOO_MANY_RUNS = "too_many_runs", 429
    """The limit of active runs is reached. Wait for `Retry-After` seconds, or cancel a run."""
    TOO_MANY_OBJECTS = "too_many_objects", 429
    """The limit of waiting objects is reached. Wait for `Retry-After` seconds, or ask for a
    backfill of the folder."""
    INTERNAL = "internal", 500
    """The gateway failed. Its log says why."""
    UNAVAILABLE = "unavailable", 503
    """The database, Storage or Prefect does not answer. Wait for `Retry-After` seconds and repeat
    the request: if the run was started after all, the retry finds it."""
