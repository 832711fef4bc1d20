"""What `setup` tells the database about the buckets of the settings, and when that may fail."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest

from media_enricher.models import ErrorCode
from media_enricher.settings import settings
from media_enricher.setup import watching
from media_enricher.setup.resources import Outcome, Resource
from media_enricher.supabase.errors import SupabaseError


def watch(
    monkeypatch: pytest.MonkeyPatch, answer: list[dict[str, str]] | Exception, *buckets: str
) -> list[Resource]:
    client = Mock()
    request = client.rpc.return_value.execute
    request.side_effect = answer if isinstance(answer, Exception) else None
    request.return_value.data = answer
    monkeypatch.setattr(watching, "connect", lambda _: client)

    async def collect() -> list[Resource]:
        return [each async for each in watching.watch_buckets(Mock(), buckets)]

    resources = asyncio.run(collect())
    client.rpc.assert_called_with("media_watch_buckets", {"p_buckets": list(buckets)})
    return resources


def test_each_bucket_is_told_with_its_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = {"a": "added", "b": "kept", "c": "removed", "d": "refused"}
    answer = [{"bucket": name, "outcome": outcome} for name, outcome in outcomes.items()]
    told = watch(monkeypatch, answer, "a", "b", "d")
    assert [(each.name, each.outcome) for each in told] == [
        ("a", Outcome.CREATED),
        ("b", Outcome.UNCHANGED),
        ("c", Outcome.UPDATED),
        ("d", Outcome.SKIPPED),
    ]
    assert "does not process this bucket" in told[3].note


def test_a_database_without_the_function_is_an_error_only_if_there_are_buckets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = SupabaseError(ErrorCode.NOT_FOUND, "run `media-enricher migrate`")
    with pytest.raises(SupabaseError):
        watch(monkeypatch, missing, "photos")
    (told,) = watch(monkeypatch, missing)
    assert (told.outcome, told.note) == (Outcome.SKIPPED, "run `media-enricher migrate`")


@pytest.mark.parametrize(("buckets", "is_active"), [("", False), ("photos", True)])
def test_the_queue_is_processed_every_minute_only_if_there_are_buckets(
    monkeypatch: pytest.MonkeyPatch, buckets: str, is_active: Any
) -> None:
    monkeypatch.setenv("MEDIA_ENRICHER_BUCKETS", buckets)
    settings.cache_clear()
    try:
        assert watching.choose_schedule() == {"active": is_active}
    finally:
        settings.cache_clear()
