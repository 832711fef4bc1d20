"""Check the change feed, where it is on: its triggers are complete, and its queue is drained."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from media_enricher import change_feed
from media_enricher.change_feed import ChangeFeedError, FeedStatus
from media_enricher.doctor.checkup import NothingToCheck
from media_enricher.doctor.database_checks import database_url
from media_enricher.doctor.setup import Setup, Trouble

_LONG = timedelta(minutes=15)
"""Three sweeps, each of which would have started a run."""


def change_feed_works(setup: Setup) -> str:  # noqa: ARG001  (a check takes the set-up)
    """The triggers are installed and up to date, and no watched bucket's objects wait for long."""
    try:
        now = change_feed.status(database_url())
    except ChangeFeedError as error:
        raise Trouble(str(error), "Fix this, or unset DATABASE_URL") from None
    if now.is_off:
        raise NothingToCheck("it is off (turn it on with `media-enricher changes on`)")
    if not now.is_complete:
        raise Trouble(
            f"triggers that are missing: {', '.join(now.missing) or 'none'}; columns of "
            f"storage.objects that they ignore: {', '.join(now.unknown_columns) or 'none'}",
            "Run `media-enricher changes on`",
        )
    watched = [each.name for each in now.buckets if each.is_watched]
    if not watched:
        raise Trouble(
            "the triggers are installed, and no bucket is watched",
            "Set MEDIA_ENRICHER_BUCKETS and run `media-enricher setup`, or run `media-enricher "
            "changes off`",
        )
    _require_drained(now)
    return f"on, watches {', '.join(watched)}"


def _require_drained(now: FeedStatus) -> None:
    before = datetime.now(UTC) - _LONG
    stuck = [each for each in now.buckets if each.oldest is not None and each.oldest < before]
    if stuck:
        raise Trouble(
            "objects have waited for over 15 minutes: "
            + ", ".join(f"{each.waiting:,} in {each.name}" for each in stuck),
            "Check that a worker runs, and that the schedules of sweep/sweep and "
            "process-queue/process-queue are active. (Many thousands of uploads at once take as "
            "long as a backfill of them)",
        )
