"""What the doctor says of the change feed: nothing if it is off, and what is wrong if it is on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from media_enricher import change_feed
from media_enricher.change_feed import TRIGGERS, ChangeFeedError, FeedBucket, FeedStatus
from media_enricher.doctor import change_feed_check
from media_enricher.doctor.change_feed_check import change_feed_works
from media_enricher.doctor.checkup import NothingToCheck
from media_enricher.doctor.setup import Setup, Trouble

JUST_NOW = datetime.now(UTC) - timedelta(minutes=1)
LONG_AGO = datetime.now(UTC) - timedelta(hours=1)


def a_status(
    *buckets: FeedBucket, missing: tuple[str, ...] = (), unknown: tuple[str, ...] = ()
) -> FeedStatus:
    return FeedStatus(missing, unknown, buckets, notifies=False)


def look(monkeypatch: pytest.MonkeyPatch, now: FeedStatus) -> str:
    monkeypatch.setattr(change_feed_check, "database_url", lambda: "postgresql://here")
    monkeypatch.setattr(change_feed, "status", lambda _: now)
    with Setup() as setup:
        return change_feed_works(setup)


def test_a_feed_that_is_on_and_drained_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    photos = FeedBucket("photos", is_watched=True, waiting=3, oldest=JUST_NOW)
    assert look(monkeypatch, a_status(photos)) == "on, watches photos"


def test_a_feed_that_is_off_is_nothing_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NothingToCheck, match="it is off"):
        look(monkeypatch, a_status(missing=TRIGGERS))


TROUBLES = {
    "media_enricher_objects_deleted": a_status(missing=("media_enricher_objects_deleted",)),
    "ignore: archived_at": a_status(unknown=("archived_at",)),
    "no bucket is watched": a_status(FeedBucket("a", is_watched=False, waiting=1, oldest=JUST_NOW)),
    "over 15 minutes: 1,200 in photos": a_status(
        FeedBucket("photos", is_watched=True, waiting=1200, oldest=LONG_AGO)
    ),
}


@pytest.mark.parametrize("problem", TROUBLES)
def test_what_is_wrong_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    with pytest.raises(Trouble) as raised:
        look(monkeypatch, TROUBLES[problem])
    assert problem in raised.value.problem
    assert raised.value.remedy


def test_a_database_that_cannot_be_asked_is_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> FeedStatus:
        raise ChangeFeedError("can't connect")

    monkeypatch.setattr(change_feed_check, "database_url", lambda: "postgresql://here")
    monkeypatch.setattr(change_feed, "status", refuse)
    with Setup() as setup, pytest.raises(Trouble, match="can't connect"):
        change_feed_works(setup)
