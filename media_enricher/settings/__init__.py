"""The environment, read once.

There are five groups, so that a command needs only the settings it uses: `SupabaseSettings` (the
project's URL and keys), `DatabaseSettings` (for migrations), `Settings` (how runs work, prefix
`MEDIA_ENRICHER_`, each with a default), `GatewaySettings` (for the HTTP trigger) and
`SetupSettings` (for `setup`). All are also read from `.env` in the current folder.
"""

from __future__ import annotations

import os
from functools import lru_cache

from dotenv import dotenv_values

from media_enricher.settings.enricher import DEFAULT_EXIF_TAGS, Settings, TaskRunnerName
from media_enricher.settings.gateway import GatewaySettings, WhoMayTrigger
from media_enricher.settings.reading import SettingsError, read
from media_enricher.settings.setup import SetupSettings
from media_enricher.settings.supabase import DatabaseSettings, SupabaseSettings
from media_enricher.settings.values import BareUrl

__all__ = [
    "DEFAULT_EXIF_TAGS",
    "BareUrl",
    "DatabaseSettings",
    "GatewaySettings",
    "Settings",
    "SettingsError",
    "SetupSettings",
    "SupabaseSettings",
    "TaskRunnerName",
    "WhoMayTrigger",
    "database_settings",
    "gateway_settings",
    "run_environment",
    "run_variables",
    "settings",
    "setup_settings",
    "supabase_settings",
]


@lru_cache
def settings() -> Settings:
    """The settings of runs, read from the environment at the first call.

    Raises:
        SettingsError: a value is invalid.
    """
    return read(Settings)


@lru_cache
def gateway_settings() -> GatewaySettings:
    """The HTTP trigger's settings, read from the environment at the first call.

    Raises:
        SettingsError: a value is invalid.
    """
    return read(GatewaySettings)


@lru_cache
def setup_settings() -> SetupSettings:
    """The settings of `media-enricher setup`, read from the environment at the first call.

    Raises:
        SettingsError: a value is invalid.
    """
    return read(SetupSettings)


@lru_cache
def supabase_settings() -> SupabaseSettings:
    """The Supabase project's settings.

    Raises:
        SettingsError: the URL or the service key is missing or invalid.
    """
    return read(SupabaseSettings)


@lru_cache
def database_settings() -> DatabaseSettings:
    """The direct database connection's settings.

    Raises:
        SettingsError: DATABASE_URL is missing.
    """
    return read(DatabaseSettings)


def run_environment() -> dict[str, str]:
    """The settings of runs that are set here, as environment variables for runs elsewhere.

    Raises:
        SettingsError: a value is invalid.
    """
    settings()
    here = dotenv_values(".env") | os.environ
    return {name: value for name in run_variables() if (value := here.get(name))}


def run_variables() -> list[str]:
    """The names of the environment variables of `Settings`, set or not."""
    return [f"MEDIA_ENRICHER_{name.upper()}" for name in Settings.model_fields]
