"""The environment, read once.

There are five groups, so that a command needs only the settings it uses: `SupabaseSettings` (the
project's URL and keys), `DatabaseSettings` (for migrations), `Settings` (how runs work, prefix
`MEDIA_ENRICHER_`, each with a default), `GatewaySettings` (for the HTTP trigger) and
`SetupSettings` (for `setup`). All are also read from `.env` in the current folder.
"""

from __future__ import annotations

from functools import lru_cache

from media_enricher.settings.enricher import DEFAULT_EXIF_TAGS, Settings, TaskRunnerName
from media_enricher.settings.gateway import GatewaySettings, WhoMayTrigger
from media_enricher.settings.reading import (
    SettingsError,
    names_of_settings,
    read,
    variable_in_use,
)
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

    A setting that is set by its old name is given by its new one.

    Raises:
        SettingsError: a value is invalid.
    """
    settings()
    return {
        names[0]: used.value
        for names in names_of_settings(Settings)
        if (used := variable_in_use(names))
    }


def run_variables() -> list[str]:
    """The environment variables of the settings of runs, set or not, old names included."""
    return [name for names in names_of_settings(Settings) for name in names]
