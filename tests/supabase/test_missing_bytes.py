"""Bytes that are missing are told from an outage, from a deletion and from a fault that passes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from media_enricher.models import ErrorCode
from media_enricher.supabase import missing_bytes
from media_enricher.supabase.errors import SupabaseError, error_from_response
from media_enricher.supabase.missing_bytes import (
    ReadableAgainError,
    explain,
    may_be_missing_bytes,
)


def refusal(status: int, body: str) -> SupabaseError:
    return error_from_response("download", status, {}, body.encode())


INTERNAL = refusal(
    500, '{"statusCode":"500","error":"Internal","message":"?","code":"InternalError"}'
)
NO_SUCH_KEY = refusal(
    400, '{"statusCode":"404","error":"not_found","message":"?","code":"NoSuchKey"}'
)
NO_SUCH_KEY_500 = refusal(500, '{"statusCode":"500","error":"Internal","code":"NoSuchKey"}')
BUSY = refusal(503, "")
TIMEOUT = SupabaseError(ErrorCode.TIMEOUT, "nothing for 30 seconds")


class Looks:
    """Answers by a plan: of the info, of each further look, and of each look at another object."""

    def __init__(
        self,
        info: SupabaseError | None = None,
        *,
        served: Iterable[SupabaseError | None] = (),
        others: Iterable[bool] = (),
    ) -> None:
        self._info = info
        self._served = iter(served)
        self._others = iter(others)
        self.order: list[str] = []

    async def info(self) -> None:
        self.order.append("info")
        if self._info:
            raise self._info

    async def served(self) -> None:
        self.order.append("it")
        failure = next(self._served)
        if failure:
            raise failure

    async def is_another_served(self) -> bool:
        self.order.append("another")
        return next(self._others)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing_bytes, "_PAUSES_SECONDS", (0.0, 0.0, 0.0))


def explained(failure: SupabaseError, looks: Looks) -> SupabaseError:
    return asyncio.run(explain(failure, looks))


@pytest.mark.parametrize("failure", [INTERNAL, NO_SUCH_KEY, NO_SUCH_KEY_500])
def test_what_fails_again_and_again_while_others_are_served_has_lost_its_bytes(
    failure: SupabaseError,
) -> None:
    looks = Looks(served=[failure] * 3, others=[True] * 4)
    reason = explained(failure, looks)
    assert reason.code is ErrorCode.BYTES_MISSING
    assert not reason.is_transient
    assert str(failure) in str(reason)
    assert "Upload it again, or delete it" in str(reason)
    assert looks.order[0] == "info"
    assert looks.order[1] == looks.order[-1] == "another", "bytes are served before and after"
    assert looks.order[1:].count("it") == looks.order.count("another") - 1


def test_a_server_error_needs_more_looks_than_an_answer_of_s3() -> None:
    by_files, by_s3 = (
        Looks(served=[failure] * 3, others=[True] * 4) for failure in (INTERNAL, NO_SUCH_KEY)
    )
    explained(INTERNAL, by_files)
    explained(NO_SUCH_KEY, by_s3)
    assert (by_files.order.count("it"), by_s3.order.count("it")) == (3, 1)


@pytest.mark.parametrize("failure", [INTERNAL, NO_SUCH_KEY])
@pytest.mark.parametrize("ok", range(4))
def test_an_outage_that_begins_between_the_looks_is_no_verdict(
    ok: int, failure: SupabaseError
) -> None:
    """The one object has failed by chance, and then all do."""
    ok = min(ok, 1) if failure is NO_SUCH_KEY else ok
    looks = Looks(served=[failure] * 3, others=[True] * ok + [False] * 4)
    assert explained(failure, looks) is failure


@pytest.mark.parametrize("failed", range(3))
def test_an_outage_that_ends_between_the_looks_has_the_object_read(failed: int) -> None:
    looks = Looks(served=[INTERNAL] * failed + [None], others=[True] * 4)
    assert isinstance(explained(INTERNAL, looks), ReadableAgainError)


@pytest.mark.parametrize("other", [BUSY, TIMEOUT, NO_SUCH_KEY])
@pytest.mark.parametrize("alike", range(3))
def test_another_failure_at_a_further_look_is_no_verdict(alike: int, other: SupabaseError) -> None:
    looks = Looks(served=[INTERNAL] * alike + [other], others=[True] * 4)
    assert explained(INTERNAL, looks) is INTERNAL


@pytest.mark.parametrize("failure", [INTERNAL, NO_SUCH_KEY])
def test_an_object_that_was_deleted_is_not_found(failure: SupabaseError) -> None:
    looks = Looks(NO_SUCH_KEY)
    assert explained(failure, looks).code is ErrorCode.NOT_FOUND
    assert looks.order == ["info"]


@pytest.mark.parametrize("unknown", [BUSY, TIMEOUT])
@pytest.mark.parametrize("failure", [INTERNAL, NO_SUCH_KEY])
def test_a_database_that_is_away_is_no_verdict(
    unknown: SupabaseError, failure: SupabaseError
) -> None:
    assert explained(failure, Looks(unknown)) is failure


def test_a_server_that_reads_the_info_from_the_bytes() -> None:
    looks = Looks(INTERNAL, served=[INTERNAL] * 3, others=[True] * 4)
    assert explained(INTERNAL, looks).code is ErrorCode.BYTES_MISSING


@pytest.mark.parametrize(
    "failure",
    [
        BUSY,
        TIMEOUT,
        refusal(500, ""),
        refusal(500, "<html>Internal Server Error</html>"),
        refusal(502, '{"statusCode":"502","code":"InternalError"}'),
        refusal(544, '{"statusCode":"544","code":"DatabaseTimeout"}'),
        refusal(404, ""),
        refusal(400, '{"statusCode":"404","code":"NoSuchBucket"}'),
        refusal(400, '{"statusCode":"403","code":"AccessDenied"}'),
        refusal(500, '{"statusCode":"500","code":"DatabaseError"}'),
    ],
)
def test_other_failures_are_what_they_are(failure: SupabaseError) -> None:
    assert not may_be_missing_bytes(failure)
