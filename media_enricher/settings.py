"""The environment, read once.

Five groups, for a command needs only what it uses: `SupabaseSettings` (where the project is and
its keys), `DatabaseSettings` (for migrations alone), `Settings` (ours, under `MEDIA_ENRICHER_`,
each with a default), `GatewaySettings` (the same, for the HTTP trigger alone) and `SetupSettings`
(for `setup` alone). All are also read from `.env` in the current folder.
"""

from __future__ import annotations

import os
import re
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, TypeAlias, TypeVar, get_args

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from media_enricher.models import FlowName

SILENT_HEARTBEATS = 6
"""So many heartbeats missed in a row, and a run may be gone."""

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
    DASK = "dask"
    RAY = "ray"


class WhoMayTrigger(StrEnum):
    """Which signed-in users may start runs over HTTP."""

    ADMINS = "admins"
    SIGNED_IN = "signed_in"


def _split_on_commas(value: object) -> object:
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


def _bare_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError(f"must start with http:// or https://, got {value!r}")
    return value.rstrip("/")


def _secret_url(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None and not secret.get_secret_value().startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    return secret


def _origin(value: str) -> str:
    if value != "*" and not re.fullmatch(r"https?://[^/?#@\s]+", value):
        raise ValueError(f"an origin looks like https://app.example.com, without a path: {value!r}")
    return value


def _long_enough(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None and len(secret) < 32:
        raise ValueError("shorter than 32 characters, so it could be guessed")
    return secret


_CommaSeparated: TypeAlias = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_on_commas)]
_Origins: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_origin)], ...],
    NoDecode,
    BeforeValidator(_split_on_commas),
]
BareUrl: TypeAlias = Annotated[str, AfterValidator(_bare_url)]
_SecretUrl: TypeAlias = Annotated[SecretStr | None, AfterValidator(_secret_url)]
_LongSecret: TypeAlias = Annotated[SecretStr | None, AfterValidator(_long_enough)]
_Deployment: TypeAlias = Annotated[str, Field(pattern="^[^/]+/[^/]+$")]


class SupabaseSettings(BaseSettings):
    """Where the Supabase project is, and the keys to it."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,  # `SUPABASE_SECRET_KEY=` leaves the other name its say
        extra="ignore",
        populate_by_name=True,
    )

    url: BareUrl = Field(
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
        default=TaskRunnerName.THREADS,
        description="`threads` or `processes` of one machine; `dask` or `ray`, a cluster.",
    )
    dask_address: str | None = Field(
        default=None,
        description="Of the Dask scheduler, as `tcp://scheduler:8786`. Default: a cluster of "
        "processes on the run's own machine, for the length of the run.",
    )
    ray_address: str | None = Field(
        default=None,
        description="Of the Ray cluster, as `ray://head:10001`. Default: one on the run's own "
        "machine, for the length of the run.",
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
    silence_seconds: float = Field(
        default=60.0,
        gt=0,
        description="A run is taken for dead after so long without a sign of life, and not before "
        "six heartbeats are missing.",
    )
    buckets: _CommaSeparated = Field(
        default=(),
        description="The buckets that sweeps and webhooks keep current, separated by commas. "
        "Default: none by sweeps, and all but that of snapshots by webhooks.",
    )
    backfill_deployment: _Deployment = Field(
        default="backfill/backfill",
        description="The Prefect deployment that works on a bucket, as `FLOW/DEPLOYMENT`.",
    )
    object_deployment: _Deployment = Field(
        default="enrich-object/enrich-object",
        description="The Prefect deployment that works on single objects.",
    )
    keep_days: float = Field(
        default=90.0,
        gt=0,
        description="The audit of requests to start runs, and what else is kept of them, is "
        "deleted after so long.",
    )
    snapshot: str = Field(
        default="bucket:media-enricher-snapshots",
        description="Where snapshots go: `bucket:NAME`, or a folder.",
    )
    result_storage: str | None = Field(
        default=None,
        description="Where the task cache lives: a folder, or a Prefect block as "
        "`block:supabase-bucket/media-enricher-results`. Default: `media-enricher` under Prefect's "
        "own local storage.",
    )
    cache_days: float = Field(
        default=7.0, gt=0, description="Cached results older than this are swept."
    )
    location: bool = Field(
        default=False, description="Whether latitude and longitude are stored (privacy)."
    )
    exif_tags: _CommaSeparated = Field(
        default=DEFAULT_EXIF_TAGS,
        description="The EXIF tags kept in `exif`, separated by commas.",
    )

    @property
    def batches_in_flight(self) -> int:
        """Batches being enriched at once: enough that no lane waits while others are written."""
        return self.lanes + 2

    @property
    def dead_after_seconds(self) -> float:
        """Without a sign of life for so long, a run is taken for dead."""
        return max(self.silence_seconds, SILENT_HEARTBEATS * self.heartbeat_seconds)

    def deployment(self, flow: FlowName) -> str:
        """The Prefect deployment that runs a flow, as `FLOW/DEPLOYMENT`."""
        return {
            FlowName.BACKFILL: self.backfill_deployment,
            FlowName.ENRICH_OBJECT: self.object_deployment,
        }[flow]


class GatewaySettings(BaseSettings):
    """How the HTTP trigger works (`media-enricher serve`). Every setting has a default."""

    model_config = SettingsConfigDict(
        env_prefix="MEDIA_ENRICHER_",
        env_file=".env",
        env_ignore_empty=True,  # `MEDIA_ENRICHER_WEBHOOK_SECRET=` sets no empty secret
        extra="ignore",
        populate_by_name=True,
    )

    who_may_trigger: WhoMayTrigger = Field(
        default=WhoMayTrigger.ADMINS,
        description="Who starts runs over HTTP beside the service key: `admins` (by "
        "`app_metadata`), or `signed_in` for every user.",
    )
    requests_per_minute: int = Field(
        default=10, ge=1, description="The most requests a minute of a user who is no admin."
    )
    active_runs: int = Field(
        default=10, ge=1, description="The most backfills queued or running that HTTP started."
    )
    cors_origins: _Origins = Field(
        default=(),
        description="Origins whose pages may call the gateway, as `https://app.example.com`, "
        "separated by commas; `*` for any.",
    )
    webhook_secret: _LongSecret = Field(
        default=None,
        description="What database webhooks send as `x-webhook-secret`. Without it they need a "
        "service key.",
    )
    public_url: BareUrl | None = Field(
        default=None,
        description="Where the gateway is reached, for the links in its answers. Default: the "
        "address of the request.",
    )
    picture_seconds: int = Field(
        default=600, ge=1, description="How long the signed URLs of pictures are valid."
    )
    prefect_ui_url: BareUrl | None = Field(
        default=None,
        description="Where people reach Prefect's UI. Default: beside Prefect's API.",
    )
    service_role_key: SecretStr | None = Field(
        default=None,
        validation_alias="SUPABASE_SERVICE_ROLE_KEY",
        description="Set beside a secret key, servers may bring either.",
    )
    jwt_secret: _LongSecret = Field(
        default=None,
        validation_alias="SUPABASE_JWT_SECRET",
        description="The legacy JWT secret, where users' tokens are still signed with it (HS256). "
        "Without it, only ES256 and RS256 are taken.",
    )
    jwt_issuer: str | None = Field(
        default=None,
        validation_alias="SUPABASE_JWT_ISSUER",
        description="Who issues users' tokens. Default: the project's URL and `/auth/v1`.",
    )


class SetupSettings(BaseSettings):
    """What `media-enricher setup` makes besides. Every setting has a default."""

    model_config = SettingsConfigDict(
        env_prefix="MEDIA_ENRICHER_", env_file=".env", env_ignore_empty=True, extra="ignore"
    )

    notification_url: _SecretUrl = Field(
        default=None,
        description="The webhook that is told of failed and crashed runs, as Slack, Mattermost and "
        "others offer it.",
    )
    image: str | None = Field(
        default=None,
        min_length=1,
        description="The image of runs in a Docker work pool. Default: `media-enricher` with the "
        "version as its tag.",
    )


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
def gateway_settings() -> GatewaySettings:
    """The HTTP trigger's settings, read from the environment at the first call.

    Raises:
        SettingsError: a value is invalid.
    """
    return _read(GatewaySettings)


@lru_cache
def setup_settings() -> SetupSettings:
    """The settings of `media-enricher setup`, read from the environment at the first call.

    Raises:
        SettingsError: a value is invalid.
    """
    return _read(SetupSettings)


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


def run_environment() -> dict[str, str]:
    """Those of our own settings that are set here, as environment variables for runs elsewhere.

    Raises:
        SettingsError: a value is invalid.
    """
    settings()
    here = dotenv_values(".env") | os.environ
    return {name: value for name in run_variables() if (value := here.get(name))}


def run_variables() -> list[str]:
    """The environment variables of our own settings, set or not."""
    return [f"MEDIA_ENRICHER_{name.upper()}" for name in Settings.model_fields]


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
    value = "" if _is_secret(field) else f" = {error['input']!r}"
    return f"{variable}{value} is invalid: {error['msg']}. {field.description}"


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in (field.annotation, *get_args(field.annotation))


def _environment_names(field: FieldInfo, otherwise: str) -> list[str]:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [str(alias)] if alias else [otherwise]
