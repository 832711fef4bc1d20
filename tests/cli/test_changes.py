"""`media-enricher changes`: what each command asks of the feed, and what it prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from media_enricher import change_feed, settings
from media_enricher.change_feed import TRIGGERS, ChangeFeedError, FeedBucket, FeedStatus
from media_enricher.cli import app

URL = "postgresql://here/db"
ON = FeedStatus((), (), (FeedBucket("photos", is_watched=True, waiting=0, oldest=None),), False)
OFF = FeedStatus(TRIGGERS, (), (), False)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("MEDIA_ENRICHER_BUCKETS", "photos")
    forget()
    yield
    forget()


def forget() -> None:
    settings.settings.cache_clear()
    settings.database_settings.cache_clear()


Record = Callable[[FeedStatus], list[tuple[Any, ...]]]


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Record:
    """Stands in for the database: what was asked of it, which then has this status."""

    def start(status: FeedStatus) -> list[tuple[Any, ...]]:
        asked: list[tuple[Any, ...]] = []
        monkeypatch.setattr(change_feed, "turn_on", lambda *given: asked.append(("on", *given)))
        monkeypatch.setattr(change_feed, "turn_off", lambda *given: asked.append(("off", *given)))
        monkeypatch.setattr(change_feed, "status", lambda _: status)
        monkeypatch.setattr(change_feed, "unwatch", lambda _, names: sorted({*names} - {"never"}))
        return asked

    return start


def changes(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["changes", *arguments])


def test_on_watches_the_buckets_of_the_settings(record: Record) -> None:
    asked = record(ON)
    result = changes("on")
    assert result.exit_code == 0, result.output
    assert asked == [("on", URL, [], ("photos",))]
    assert result.stdout.splitlines() == [
        "The change feed is on.",
        "The gateway is not told of changes (that needs pg_net and two secrets in Vault): they "
        "wait for up to a minute.",
        "photos: watched, nothing waits",
    ]


def test_on_says_what_a_bucket_beside_the_settings_lacks(record: Record) -> None:
    asked = record(ON)
    result = changes("on", "--bucket", "clips", "--bucket", "photos")
    assert asked == [("on", URL, ["clips", "photos"], ("photos",))]
    assert (
        "clips: not in MEDIA_ENRICHER_BUCKETS, so the queue is drained every five" in result.stdout
    )


def test_off_removes_the_triggers_or_only_unwatches(record: Record) -> None:
    asked = record(OFF)
    result = changes("off")
    assert asked == [("off", URL)]
    assert result.stdout.splitlines()[0] == "The change feed is off."

    result = changes("off", "--bucket", "clips", "--bucket", "never", "--bucket", "photos")
    assert asked == [("off", URL)]
    assert result.stdout.splitlines() == [
        "clips is not watched any more",
        "never was not watched",
        "photos is not watched any more, until the next `media-enricher setup`: it is in "
        "MEDIA_ENRICHER_BUCKETS",
    ]


def test_status_says_what_waits_and_for_how_long(record: Record) -> None:
    oldest = datetime.now(UTC) - timedelta(hours=2)
    waiting = FeedBucket("clips[1]", is_watched=False, waiting=1200, oldest=oldest)
    record(FeedStatus((), (), (waiting, *ON.buckets), notifies=True))
    lines = changes("status").stdout.splitlines()
    assert lines[1] == "The gateway is told of changes at once."
    assert lines[2] == "clips[1]: not watched, 1,200 objects wait, the oldest for 2 h"
    lines = changes("status", "--bucket", "photos", "--bucket", "none").stdout.splitlines()
    assert lines[2:] == ["photos: watched, nothing waits", "none: not watched, nothing waits"]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (FeedStatus(TRIGGERS[:1], (), (), False), f"incomplete, without {TRIGGERS[0]}"),
        (
            FeedStatus((), ("archived_at",), (), False),
            "than storage.objects: it ignores archived_at",
        ),
    ],
)
def test_status_says_what_is_missing_and_what_to_do(
    record: Record, status: FeedStatus, said: str
) -> None:
    record(status)
    first = changes("status").stdout.splitlines()[0]
    assert said in first
    assert first.endswith("Run `media-enricher changes on`.")


def test_without_an_address_or_a_database_it_says_what_to_do(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise ChangeFeedError("can't connect to the database at here:5432/db")

    record(ON)
    monkeypatch.setattr(change_feed, "turn_on", refuse)
    result = changes("on")
    assert (result.exit_code, "can't connect" in result.stderr) == (1, True)
    monkeypatch.delenv("DATABASE_URL")
    forget()
    result = changes("status")
    assert (result.exit_code, "DATABASE_URL" in result.stderr) == (2, True)
