"""The nightly backfill is not for what runs store themselves."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest

from media_enricher.settings import settings
from media_enricher.setup.resources import SetupError
from media_enricher.setup.variables import make_nightly_bucket


@pytest.mark.parametrize("bucket", ["media-enricher-results", "our-snapshots"])
def test_a_bucket_of_our_own_is_refused_before_prefect_is_asked(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDIA_ENRICHER_SNAPSHOT", "bucket:our-snapshots")
    settings.cache_clear()
    client = Mock()
    try:
        with pytest.raises(
            SetupError, match=f"its own task results or snapshots in the bucket '{bucket}'"
        ):
            asyncio.run(make_nightly_bucket(client, bucket))
    finally:
        settings.cache_clear()
    assert client.mock_calls == []
