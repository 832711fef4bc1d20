"""`media-enricher changes on|off|status`: queue each change in Storage, in its own transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from media_enricher import change_feed
from media_enricher.change_feed import ChangeFeedError, FeedBucket, FeedStatus
from media_enricher.cli.console import JOB_FAILED, console, duration, fail
from media_enricher.settings import SettingsError, database_settings, settings

app = typer.Typer(
    help="The change feed: the database queues uploads, overwrites, moves and deletes by itself.",
    no_args_is_help=True,
)


@app.command()
def on(
    bucket: Annotated[
        list[str] | None,
        typer.Option(metavar="BUCKET", help="Watch this bucket too. Repeat for several."),
    ] = None,
) -> None:
    """Install the triggers in the database at DATABASE_URL, and watch buckets.

    Those of MEDIA_ENRICHER_BUCKETS are watched, and those of --bucket. Run it again after an
    upgrade.
    """
    with _failing_well():
        change_feed.turn_on(_database_url(), bucket or [], settings().buckets)
        now = change_feed.status(_database_url())
    _print(now, bucket)
    strangers = sorted(set(bucket or []).difference(settings().buckets))
    if strangers:
        _say(
            f"{', '.join(strangers)}: not in MEDIA_ENRICHER_BUCKETS, so the queue is drained every "
            "five minutes instead of every minute, and the sweep does not look for lost changes. "
            "Add it there, and run `media-enricher setup`."
        )


@app.command()
def off(
    bucket: Annotated[
        list[str] | None,
        typer.Option(metavar="BUCKET", help="Only stop watching this bucket. Repeat for several."),
    ] = None,
) -> None:
    """Remove the triggers. Objects that are queued are still processed."""
    with _failing_well():
        if bucket:
            _tell_of_unwatched(bucket, change_feed.unwatch(_database_url(), bucket))
            return
        change_feed.turn_off(_database_url())
        _print(change_feed.status(_database_url()), None)


@app.command()
def status(
    bucket: Annotated[
        list[str] | None, typer.Option(metavar="BUCKET", help="Only this bucket.")
    ] = None,
) -> None:
    """Say what is installed, which buckets are watched, and how many objects wait since when."""
    with _failing_well():
        now = change_feed.status(_database_url())
    _print(now, bucket)


def _database_url() -> str:
    return database_settings().database_url.get_secret_value()


@contextmanager
def _failing_well() -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        fail(str(error))
    except ChangeFeedError as error:
        fail(str(error), JOB_FAILED)


def _tell_of_unwatched(asked: list[str], unwatched: list[str]) -> None:
    for name in sorted(set(asked)):
        if name not in unwatched:
            _say(f"{name} was not watched")
        elif name in settings().buckets:
            _say(
                f"{name} is not watched any more, until the next `media-enricher setup`: it is in "
                "MEDIA_ENRICHER_BUCKETS"
            )
        else:
            _say(f"{name} is not watched any more")


def _print(now: FeedStatus, buckets: list[str] | None) -> None:
    _say(_installed(now))
    if not now.is_off:
        _say(
            "The gateway is told of changes at once."
            if now.notifies
            else "The gateway is not told of changes (that needs pg_net and two secrets in Vault): "
            "they wait for up to a minute."
        )
    shown = [each for each in now.buckets if not buckets or each.name in buckets]
    for each in shown:
        _say(_describe(each))
    for name in sorted(set(buckets or []).difference(each.name for each in shown)):
        _say(f"{name}: not watched, nothing waits")
    if not shown and not buckets:
        _say("No bucket is watched, and nothing waits.")


def _installed(now: FeedStatus) -> str:
    if now.is_off:
        return "The change feed is off."
    if now.is_complete:
        return "The change feed is on."
    problem = (
        f"without {', '.join(now.missing)}"
        if now.missing
        else f"older than storage.objects: it ignores {', '.join(now.unknown_columns)}"
    )
    return f"The change feed is incomplete, {problem}. Run `media-enricher changes on`."


def _describe(bucket: FeedBucket) -> str:
    watched = "watched" if bucket.is_watched else "not watched"
    if bucket.oldest is None:
        return f"{bucket.name}: {watched}, nothing waits"
    age = duration(max((datetime.now(UTC) - bucket.oldest).total_seconds(), 0.0))
    objects = "object waits" if bucket.waiting == 1 else "objects wait"
    return f"{bucket.name}: {watched}, {bucket.waiting:,} {objects}, the oldest for {age}"


def _say(text: str) -> None:
    console.print(escape(text), highlight=False, soft_wrap=True)
