"""What is tried again, how long after, and what comes out in the end, over real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest
import tenacity
from pydantic import SecretStr
from supabase import Client

from media_enricher import settings
from media_enricher.models import ErrorCode, Selection
from media_enricher.settings import SupabaseSettings
from media_enricher.supabase.assets import AssetTable
from media_enricher.supabase.bucket import Bucket
from media_enricher.supabase.client import connect
from media_enricher.supabase.errors import SupabaseError
from media_enricher.supabase.retrying import patience
from media_enricher.supabase.runs import RunTable
from tests.supabase.flaky import Answer, Flaky, flaky_server

KEY = "sb_secret_do-not-show-me"
GOOD = Answer(200, b'["a", "b", "c"]')
BROKEN = Answer(0)
SILENT = Answer(1)
RETRIES = 2


@pytest.fixture
def flaky() -> Iterator[Flaky]:
    with flaky_server() as server:
        yield server


@pytest.fixture
def client(flaky: Flaky, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("MEDIA_ENRICHER_RETRIES", str(RETRIES))
    monkeypatch.setenv("MEDIA_ENRICHER_RETRY_DELAY_SECONDS", "0.01")
    monkeypatch.setenv("MEDIA_ENRICHER_REQUEST_TIMEOUT_SECONDS", "0.5")
    settings.settings.cache_clear()
    yield connect(SupabaseSettings(url=flaky.url, service_key=SecretStr(KEY)))
    settings.settings.cache_clear()


def count(client: Client) -> int:
    return len(AssetTable(client).cuts("b"))


def storage(code: str, status: int) -> bytes:
    return b'{"statusCode": "%d", "error": "e", "message": "m", "code": "%s"}' % (
        status,
        code.encode(),
    )


def rest(code: str) -> bytes:
    return b'{"code": "%s", "message": "m", "hint": null, "details": null}' % code.encode()


TRANSIENT = [
    (BROKEN, ErrorCode.NETWORK, False),
    (SILENT, ErrorCode.TIMEOUT, False),
    (Answer(408), ErrorCode.TIMEOUT, False),
    (Answer(429), ErrorCode.RATE_LIMITED, True),
    (Answer(500, b"<html>oops</html>"), ErrorCode.UNAVAILABLE, False),
    (Answer(502), ErrorCode.UNAVAILABLE, False),
    (Answer(503), ErrorCode.UNAVAILABLE, True),
    (Answer(504), ErrorCode.TIMEOUT, False),
    (Answer(522), ErrorCode.UNAVAILABLE, False),
    (Answer(544, storage("DatabaseTimeout", 544)), ErrorCode.TIMEOUT, True),
    (Answer(400, storage("DatabaseTimeout", 544)), ErrorCode.TIMEOUT, True),
    (Answer(400, storage("SlowDown", 503)), ErrorCode.UNAVAILABLE, True),
    (Answer(503, rest("PGRST000")), ErrorCode.UNAVAILABLE, True),
    (Answer(503, rest("PGRST002")), ErrorCode.UNAVAILABLE, True),
    (Answer(504, rest("PGRST003")), ErrorCode.TIMEOUT, True),
    (Answer(500, rest("40P01")), ErrorCode.UNAVAILABLE, False),
    (Answer(500, rest("40001")), ErrorCode.UNAVAILABLE, False),
    (Answer(503, rest("53300")), ErrorCode.UNAVAILABLE, True),
    (Answer(500, rest("57014")), ErrorCode.TIMEOUT, True),
    (Answer(500, rest("57P01")), ErrorCode.UNAVAILABLE, False),
    (Answer(500, rest("08006")), ErrorCode.UNAVAILABLE, False),
]

PERMANENT = [
    (Answer(400, b"nonsense"), ErrorCode.REJECTED),
    (Answer(401, b'{"message": "Invalid API key"}'), ErrorCode.FORBIDDEN),
    (Answer(403), ErrorCode.FORBIDDEN),
    (Answer(404), ErrorCode.NOT_FOUND),
    (Answer(413, storage("EntityTooLarge", 413)), ErrorCode.REJECTED),
    (Answer(400, storage("NoSuchKey", 404)), ErrorCode.NOT_FOUND),
    (Answer(500, storage("NoSuchKey", 500)), ErrorCode.NOT_FOUND),
    (Answer(400, storage("AccessDenied", 403)), ErrorCode.FORBIDDEN),
    (Answer(400, rest("22023")), ErrorCode.REJECTED),
    (Answer(500, rest("42P17")), ErrorCode.REJECTED),
    (Answer(403, rest("42501")), ErrorCode.FORBIDDEN),
]


@pytest.mark.parametrize(("answer", "code", "is_overload"), TRANSIENT)
def test_what_may_pass_is_tried_again_and_told_when_it_does_not(
    flaky: Flaky, client: Client, answer: Answer, code: ErrorCode, is_overload: bool
) -> None:
    flaky.answers = [answer, answer, GOOD]
    assert count(client) == 3
    assert len(flaky.requests) == 3
    flaky.answers, flaky.requests = [answer], []
    with pytest.raises(SupabaseError) as failed:
        count(client)
    assert len(flaky.requests) == 1 + RETRIES
    assert (failed.value.code, failed.value.is_overload) == (code, is_overload)


@pytest.mark.parametrize(("answer", "code"), PERMANENT)
def test_what_does_not_pass_is_asked_once(
    flaky: Flaky, client: Client, answer: Answer, code: ErrorCode
) -> None:
    flaky.answers = [answer]
    with pytest.raises(SupabaseError, match="media_cuts") as failed:
        count(client)
    assert len(flaky.requests) == 1
    assert failed.value.code is code
    assert not failed.value.is_transient


def test_reads_writes_and_storage_share_the_policy(flaky: Flaky, client: Client) -> None:
    for attempt in (
        lambda: RunTable(client).recent(),
        lambda: RunTable(client).record("id", bucket="b"),
        lambda: AssetTable(client).compare_piece(Selection(bucket="b")),
        lambda: AssetTable(client).compare_next_piece("b", None),
        lambda: Bucket(client, "b").exists(),
        lambda: Bucket(client, "b").upload("p", b"", "text/plain"),
    ):
        flaky.answers, flaky.requests = [Answer(503)], []
        with pytest.raises(SupabaseError):
            attempt()
        assert len(flaky.requests) == 1 + RETRIES


def test_the_server_says_how_long_to_wait(
    flaky: Flaky, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=waits.append))
    flaky.answers = [Answer(429, headers=(("Retry-After", "1"),)), GOOD]
    assert count(client) == 3
    assert waits == [1]


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("PGRST202", "media-enricher migrate"),
        ("PGRST205", "media-enricher migrate"),
        ("42501", "SUPABASE_SECRET_KEY"),
        ("PGRST301", "same project"),
    ],
)
def test_what_to_do_is_said(flaky: Flaky, client: Client, code: str, advice: str) -> None:
    flaky.answers = [Answer(400, rest(code))]
    with pytest.raises(SupabaseError, match=advice):
        count(client)


def test_the_patience_of_a_caller_ends_all_retries(flaky: Flaky, client: Client) -> None:
    flaky.answers = [Answer(503, headers=(("Retry-After", "2"),))]
    began = monotonic()
    with patience(1):
        for _ in range(3):
            with pytest.raises(SupabaseError):
                count(client)
    assert monotonic() - began < 1  # the wait that would outlast it is not begun either
    assert len(flaky.requests) == 3  # each was tried once
    flaky.answers, flaky.requests = [Answer(503), GOOD], []
    with patience(1):
        assert count(client) == 3  # there was time for this one
    assert len(flaky.requests) == 2
    flaky.answers, flaky.requests = [Answer(503), GOOD], []
    with patience(0), pytest.raises(SupabaseError):
        count(client)
    flaky.answers, flaky.requests = [Answer(503), GOOD], []
    assert count(client) == 3  # and outside of it all is as before
    assert len(flaky.requests) == 2


def test_a_client_can_be_told_to_wait_less(flaky: Flaky, client: Client) -> None:
    hasty = connect(SupabaseSettings(url=flaky.url, service_key=SecretStr(KEY)), answer_seconds=0.1)
    flaky.answers = [SILENT]
    began = monotonic()
    with patience(0), pytest.raises(SupabaseError, match=r"no response within 0\.1 s") as failed:
        count(hasty)
    assert failed.value.code is ErrorCode.TIMEOUT
    assert monotonic() - began < 4  # it is silent for 5 s


def test_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_ENRICHER_RETRIES", "0")
    settings.settings.cache_clear()
    try:
        client = connect(SupabaseSettings(url="http://127.0.0.1:1", service_key=SecretStr(KEY)))
        with pytest.raises(SupabaseError, match=r"media_cuts: .*refused") as failed:
            count(client)
        assert failed.value.code is ErrorCode.NETWORK
    finally:
        settings.settings.cache_clear()


def test_no_key_is_shown(flaky: Flaky, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    flaky.answers = [Answer(503)]
    with pytest.raises(SupabaseError) as failed:
        count(client)
    error: BaseException | None = failed.value
    shown: list[Any] = [client, AssetTable(client), Bucket(client, "b"), caplog.text]
    while error is not None:
        shown.append(error)
        error = error.__cause__ or error.__context__
    assert KEY not in " ".join(f"{each!r} {each}" for each in shown)
    assert "attempt 1 failed" in caplog.text
