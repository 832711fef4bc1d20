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
    run_environment,
    run_variables,
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
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """An environment in which our own settings are read anew."""
    monkeypatch.chdir(tmp_path)  # no .env
    settings.cache_clear()
    yield monkeypatch
    settings.cache_clear()


def test_a_run_is_dead_after_a_silence_of_at_least_six_heartbeats(
    environment: pytest.MonkeyPatch,
) -> None:
    assert settings().dead_after_seconds == 60
    environment.setenv("MEDIA_ENRICHER_HEARTBEAT_SECONDS", "30")
    settings.cache_clear()
    assert settings().dead_after_seconds == 180


def test_a_deployment_is_named_with_its_flow(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MEDIA_ENRICHER_BACKFILL_DEPLOYMENT", "backfill")
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


RENAMED = [
    ("MEDIA_ENRICHER_LANES", "MEDIA_ENRICHER_ENGINE_WORKERS"),
    ("MEDIA_ENRICHER_DOWNLOADS_PER_LANE", "MEDIA_ENRICHER_DOWNLOADS_PER_ENGINE_WORKER"),
]


@pytest.mark.parametrize(("old", "new"), RENAMED)
def test_an_old_name_works_and_the_log_says_once_how_to_rename_it(
    old: str, new: str, environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    environment.delenv(new, raising=False)
    environment.setenv(old, "3")
    found = settings()
    assert getattr(found, new.removeprefix("MEDIA_ENRICHER_").lower()) == 3
    assert settings() is found
    assert caplog.messages == [f"{old} is the old name of a setting. Rename it to {new}."]


@pytest.mark.parametrize(("old", "new"), RENAMED)
def test_an_old_name_in_env_file_works_and_is_named_where_its_value_is_wrong(
    old: str,
    new: str,
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    environment.delenv(new, raising=False)
    (tmp_path / ".env").write_text(f"{old}=many\n")
    with pytest.raises(SettingsError, match=f"^{old} = 'many' is invalid: "):
        settings()
    assert f"Rename it to {new}." in caplog.text


@pytest.mark.parametrize(("old", "new"), RENAMED)
def test_the_new_name_counts_where_both_are_set(
    old: str, new: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv(old, "3")
    environment.setenv(new, "5")
    assert getattr(settings(), new.removeprefix("MEDIA_ENRICHER_").lower()) == 5
    assert run_environment()[new] == "5"


@pytest.mark.parametrize(("old", "new"), RENAMED)
def test_runs_elsewhere_get_a_renamed_setting_by_its_new_name(
    old: str, new: str, environment: pytest.MonkeyPatch
) -> None:
    environment.delenv(new, raising=False)
    environment.setenv(old, "3")
    of_runs = run_environment()
    assert of_runs[new] == "3"
    assert old not in of_runs
    assert {old, new} <= set(run_variables())


def test_current_names_are_silent(
    environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for _, new in RENAMED:
        environment.setenv(new, "3")
    settings()
    environment.setenv("FORWARDED_ALLOW_IPS", "10.0.0.0/8")  # a name of others, not an old name
    gateway_settings.cache_clear()
    gateway_settings()
    gateway_settings.cache_clear()
    assert caplog.messages == []
