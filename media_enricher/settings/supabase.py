"""Settings of the Supabase project: its API, its keys, its database."""

from __future__ import annotations

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from media_enricher.settings.reading import FromEnvironment
from media_enricher.settings.values import BareUrl


class SupabaseSettings(FromEnvironment):
    """The URL and the keys of the Supabase project."""

    # With `SUPABASE_SECRET_KEY=` the other name still counts.
    model_config = SettingsConfigDict(env_ignore_empty=True)

    url: BareUrl = Field(
        validation_alias=AliasChoices("SUPABASE_URL", "NEXT_PUBLIC_SUPABASE_URL"),
        description="The project's URL, for example `https://<ref>.supabase.co`.",
    )
    service_key: SecretStr = Field(
        validation_alias=AliasChoices("SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY"),
        description="A secret key (`sb_secret_…`) or the legacy service_role JWT.",
    )
    anon_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices(
            "SUPABASE_PUBLISHABLE_KEY",
            "NEXT_PUBLIC_SUPABASE_PUBLISHABLE_KEY",
            "SUPABASE_ANON_KEY",
            "NEXT_PUBLIC_SUPABASE_ANON_KEY",
        ),
        description="The publishable key (`sb_publishable_…`) or the legacy anon JWT.",
    )


class DatabaseSettings(FromEnvironment):
    """A direct connection to the project's Postgres. Only migrations need it."""

    database_url: SecretStr = Field(
        validation_alias="DATABASE_URL",
        description="The URL `postgresql://…` of the direct or session-pooled connection (port "
        "5432).",
    )
