"""What is set in the environment is taken as meant, or refused with a sentence that names it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from media_enricher.settings import (
    GatewaySettings,
    SettingsError,
    WhoMayTrigger,
    gateway_settings,
    settings,
    supabase_settings,
)


@pytest.fixture
def read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., GatewaySettings]]:
    """Reads the gateway's settings from an environment that has these alone."""
    monkeypatch.chdir(tmp_path)  # no .env

    def read_from(**environment: str) -> GatewaySettings:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        gateway_settings.cache_clear()
        return gateway_settings()

    yield read_from
    gateway_settings.cache_clear()


def test_lists_are_separated_by_commas(read: Callable[..., GatewaySettings]) -> None:
    found = read(
        MEDIA_ENRICHER_CORS_ORIGINS="https://app.example.com, http://localhost:3000,",
        MEDIA_ENRICHER_WHO_MAY_TRIGGER="signed_in",
    )

    assert found.cors_origins == ("https://app.example.com", "http://localhost:3000")
    assert found.who_may_trigger is WhoMayTrigger.SIGNED_IN


def test_an_empty_secret_is_none(read: Callable[..., GatewaySettings]) -> None:
    found = read(
        MEDIA_ENRICHER_WEBHOOK_SECRET="",
        SUPABASE_JWT_SECRET="",
        SUPABASE_SERVICE_ROLE_KEY="",
    )

    assert (found.webhook_secret, found.jwt_secret, found.service_role_key) == (None, None, None)


@pytest.mark.parametrize("name", ["MEDIA_ENRICHER_WEBHOOK_SECRET", "SUPABASE_JWT_SECRET"])
def test_a_secret_that_could_be_guessed_is_refused_and_not_shown(
    read: Callable[..., GatewaySettings], name: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is invalid.*at least 32") as refused:
        read(**{name: "hunter2"})

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MEDIA_ENRICHER_CORS_ORIGINS", "https://app.example.com/page"),
        ("MEDIA_ENRICHER_CORS_ORIGINS", "app.example.com"),
        ("MEDIA_ENRICHER_WHO_MAY_TRIGGER", "everybody"),
        ("MEDIA_ENRICHER_ACTIVE_RUNS", "0"),
        ("MEDIA_ENRICHER_PUBLIC_URL", "example.com"),
    ],
)
def test_a_wrong_value_is_named(
    read: Callable[..., GatewaySettings], name: str, value: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{name} = '{value}' is invalid: "):
        read(**{name: value})


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """An environment in which our own settings are read anew."""
    monkeypatch.chdir(tmp_path)  # no .env
    settings.cache_clear()
    yield monkeypatch
    settings.cache_clear()


def test_a_run_is_dead_after_a_silence_of_at_least_six_heartbeats(ours: pytest.MonkeyPatch) -> None:
    assert settings().dead_after_seconds == 60
    ours.setenv("MEDIA_ENRICHER_HEARTBEAT_SECONDS", "30")
    settings.cache_clear()
    assert settings().dead_after_seconds == 180


def test_a_deployment_is_named_with_its_flow(ours: pytest.MonkeyPatch) -> None:
    ours.setenv("MEDIA_ENRICHER_BACKFILL_DEPLOYMENT", "backfill")
    with pytest.raises(SettingsError, match="DEPLOYMENT = 'backfill' is invalid"):
        settings()


def test_an_empty_key_leaves_the_other_name_its_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", "https://ref.supabase.co/")
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "")
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "the-legacy-key")
    supabase_settings.cache_clear()

    found = supabase_settings()
    supabase_settings.cache_clear()

    assert found.service_key.get_secret_value() == "the-legacy-key"
    assert found.url == "https://ref.supabase.co"
