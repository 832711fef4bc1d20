"""Both kinds of key work, and a wrong one is told from a missing thing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import SecretStr

from media_enricher.models import ErrorCode, Selection
from media_enricher.settings import SupabaseSettings
from media_enricher.supabase.assets import AssetTable
from media_enricher.supabase.bucket import Bucket
from media_enricher.supabase.client import connect
from media_enricher.supabase.errors import SupabaseError
from supabase_local import LocalStack


def settings_with(stack: LocalStack, key: str) -> SupabaseSettings:
    return SupabaseSettings(url=stack.url, service_key=SecretStr(key))


@pytest.mark.parametrize("kind", ["service_key", "service_role_jwt"])
def test_both_kinds_of_key(
    migrated_stack: LocalStack, make_bucket: Callable[[], str], kind: str
) -> None:
    bucket = make_bucket()
    client = connect(settings_with(migrated_stack, getattr(migrated_stack, kind)))
    assert AssetTable(client).count_pending(Selection(bucket=bucket)).objects == 0
    assert Bucket(client, bucket).exists()


@pytest.mark.parametrize("key", ["sb_secret_wrong", "eyJhbGciOiJIUzI1NiJ9.e30.wrong"])
def test_a_wrong_key_is_refused_not_answered_with_an_empty_bucket(
    migrated_stack: LocalStack, make_bucket: Callable[[], str], key: str
) -> None:
    client = connect(settings_with(migrated_stack, key))
    for attempt in (
        Bucket(client, make_bucket()).exists,
        lambda: AssetTable(client).count_pending(Selection(bucket="b")),
    ):
        with pytest.raises(SupabaseError) as refused:
            attempt()
        assert refused.value.code is ErrorCode.FORBIDDEN


@pytest.mark.parametrize("kind", ["anon_key", "anon_jwt"])
def test_a_publishable_key_is_too_little_and_the_error_says_what_is_needed(
    migrated_stack: LocalStack, kind: str
) -> None:
    client = connect(settings_with(migrated_stack, getattr(migrated_stack, kind)))
    with pytest.raises(SupabaseError, match="SUPABASE_SECRET_KEY"):
        AssetTable(client).count_pending(Selection(bucket="b"))


def test_a_project_without_migrations_is_told_to_migrate(stack: LocalStack) -> None:
    client = connect(settings_with(stack, stack.service_key))
    with pytest.raises(SupabaseError, match="media-enricher migrate"):
        AssetTable(client).count_pending(Selection(bucket="b"))
