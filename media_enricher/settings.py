"""The environment, read once.

Three groups, for a command needs only what it uses: `SupabaseSettings` (where the project is and
its keys), `DatabaseSettings` (for migrations alone) and `Settings` (ours, under
`MEDIA_ENRICHER_`, each with a default). All are also read from `.env` in the current folder.
"""

from __future__ import annotations

import os
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, TypeVar

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DEFAULT_EXIF_TAGS = (
    "Make",
    "Model",
    "LensMake",
    "LensModel",
    "Software",
    "DateTimeOriginal",
    "OffsetTimeOriginal",
    "ExposureTime",
    "FNumber",
    "ISOSpeedRatings",
    "FocalLength",
    "FocalLengthIn35mmFilm",
    "ExposureBiasValue",
    "ExposureProgram",
    "MeteringMode",
    "Flash",
    "WhiteBalance",
    "ColorSpace",
)


class TaskRunnerName(StrEnum):
    """How the mapped `enrich` task runs are carried out."""

    THREADS = "threads"
    PROCESSES = "processes"


class SupabaseSettings(BaseSettings):
    """Where the Supabase project is, and the keys to it."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", populate_by_name=True)

    url: str = Field(
        validation_alias=AliasChoices("SUPABASE_URL", "NEXT_PUBLIC_SUPABASE_URL"),
        description="The project's URL, as `https://<ref>.supabase.co`.",
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

    @field_validator("url")
    @classmethod
    def _bare_url(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError(f"must start with http:// or https://, got {value!r}")
        return value.rstrip("/")


class DatabaseSettings(BaseSettings):
    """A direct connection to the project's Postgres, which only migrations need."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", populate_by_name=True)

    database_url: SecretStr = Field(
        validation_alias="DATABASE_URL",
        description="`postgresql://…` of the direct or session-pooled connection (port 5432).",
    )


class Settings(BaseSettings):
    """How Media Enricher works. Every setting has a default; the README lists them."""

    model_config = SettingsConfigDict(env_prefix="MEDIA_ENRICHER_", env_file=".env", extra="ignore")

    task_runner: TaskRunnerName = Field(
        default=TaskRunnerName.THREADS, description="`threads` or `processes`."
    )
    lanes: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        ge=1,
        le=256,
        description="Processes that download and decode. Default: the processors.",
    )
    downloads_per_lane: int = Field(
        default=32, ge=1, le=512, description="The most downloads at once in a lane."
    )
    memory_mb: int = Field(
        default=256, ge=16, description="Bytes of objects held in memory by all lanes, in MiB."
    )
    request_timeout_seconds: float = Field(
        default=30.0, gt=0, description="The longest silence while Supabase answers."
    )
    retries: int = Field(
        default=3, ge=0, le=10, description="Retries of a transient failure within a run."
    )
    retry_delay_seconds: float = Field(
        default=1.0, ge=0, description="The delay before the first retry; it doubles from there."
    )
    max_attempts: int = Field(
        default=3, ge=1, description="Runs that try a transiently failing object by themselves."
    )
    max_pixels: int = Field(
        default=100_000_000, ge=1, description="Images with more decoded pixels are not decoded."
    )
    failure_threshold: float = Field(
        default=0.1, ge=0, le=1, description="A run with a larger share of failures ends failed."
    )
    failure_threshold_minimum: int = Field(
        default=10, ge=1, description="Fewer failures than this never fail a run."
    )
    heartbeat_seconds: float = Field(
        default=10.0, gt=0, description="How often a run stamps `heartbeat_at`."
    )
    snapshot: str = Field(
        default="bucket:media-enricher-snapshots",
        description="Where snapshots go: `bucket:NAME`, or a folder.",
    )
    result_storage: str | None = Field(
        default=None,
        description="Where the task cache lives: `block:TYPE/NAME` of Prefect, or a folder. "
        "Default: `media-enricher` under Prefect's own local storage.",
    )
    cache_days: float = Field(
        default=7.0, gt=0, description="Cached results older than this are swept."
    )
    location: bool = Field(
        default=False, description="Whether latitude and longitude are stored (privacy)."
    )
    exif_tags: Annotated[tuple[str, ...], NoDecode] = Field(
        default=DEFAULT_EXIF_TAGS,
        description="The EXIF tags kept in `exif`, separated by commas.",
    )

    @property
    def batches_in_flight(self) -> int:
        """Batches being enriched at once: enough that no lane waits while others are written."""
        return self.lanes + 2

    @field_validator("exif_tags", mode="before")
    @classmethod
    def _split_on_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value


class SettingsError(Exception):
    """A setting is missing or invalid. The message names it, its value and what to do."""


@lru_cache
def settings() -> Settings:
    """Our own settings, read from the environment at the first call.

    Raises:
        SettingsError: a value is invalid.
    """
    return _read(Settings)


@lru_cache
def supabase_settings() -> SupabaseSettings:
    """The Supabase project's settings.

    Raises:
        SettingsError: the URL or the service key is missing or invalid.
    """
    return _read(SupabaseSettings)


@lru_cache
def database_settings() -> DatabaseSettings:
    """The direct database connection's settings.

    Raises:
        SettingsError: DATABASE_URL is missing.
    """
    return _read(DatabaseSettings)


_Group = TypeVar("_Group", bound=BaseSettings)


def _read(group: type[_Group]) -> _Group:
    try:
        return group()
    except ValidationError as invalid:
        raise SettingsError(
            "; ".join(_sentence(group, error) for error in invalid.errors())
        ) from None


def _sentence(group: type[BaseSettings], error: ErrorDetails) -> str:
    """One validation error in the terms of the environment; never the value of a secret."""
    name = str(error["loc"][0]) if error["loc"] else group.__name__
    field = group.model_fields.get(name.lower())
    if field is None:
        by_alias = {
            alias: candidate
            for candidate in group.model_fields.values()
            for alias in _environment_names(candidate, "")
        }
        field = by_alias.get(name)
    if field is None:
        return f"{name}: {error['msg']}"
    prefix = str(group.model_config.get("env_prefix", ""))
    variable = _environment_names(field, f"{prefix}{name}".upper())[0]
    if error["type"] == "missing":
        return f"{variable} is not set. {field.description} Set it in the environment or in .env."
    value = "" if field.annotation is SecretStr else f" = {error['input']!r}"
    return f"{variable}{value} is invalid: {error['msg']}. {field.description}"


def _environment_names(field: FieldInfo, otherwise: str) -> list[str]:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [str(alias)] if alias else [otherwise]
