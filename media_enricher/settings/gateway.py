"""How the HTTP trigger works."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from media_enricher.settings.reading import FromEnvironment
from media_enricher.settings.values import BareUrl, LongSecret, Origins, Proxies


class WhoMayTrigger(StrEnum):
    """Which signed-in users may start runs over HTTP."""

    ADMINS = "admins"
    SIGNED_IN = "signed_in"


class GatewaySettings(FromEnvironment):
    """How the HTTP trigger works (`media-enricher serve`). Every setting has a default."""

    # `MEDIA_ENRICHER_WEBHOOK_SECRET=` means: not set.
    model_config = SettingsConfigDict(env_prefix="MEDIA_ENRICHER_", env_ignore_empty=True)

    who_may_trigger: WhoMayTrigger = Field(
        default=WhoMayTrigger.ADMINS,
        description="Who may start runs over HTTP, besides the service key: `admins` (by "
        "`app_metadata`), or `signed_in` (every user).",
    )
    requests_per_minute: int = Field(
        default=10,
        ge=1,
        description="The maximum number of requests per minute of a user who is not an admin.",
    )
    active_runs: int = Field(
        default=10,
        ge=1,
        description="The maximum number of queued or running backfills of all users.",
    )
    tenant_active_runs: int = Field(
        default=4,
        ge=1,
        description="The maximum number of queued or running backfills of one tenant. Users "
        "without a tenant share one such limit, except admins.",
    )
    user_active_runs: int = Field(
        default=4,
        ge=1,
        description="The maximum number of queued or running backfills of one user, including "
        "admins.",
    )
    service_active_runs: int = Field(
        default=100,
        ge=1,
        description="The maximum number of queued or running backfills of the service key. They do "
        "not count as backfills of users.",
    )
    waiting_objects: int = Field(
        default=10_000,
        ge=1,
        description="The maximum number of single objects of one tenant that wait to be processed "
        "after `POST /enrich`.",
    )
    unauthenticated_per_minute: int = Field(
        default=60,
        ge=1,
        description="The maximum number of requests without valid credentials per minute from one "
        "address. Further ones get status 429.",
    )
    cors_origins: Origins = Field(
        default=(),
        description="The origins whose pages may call the gateway, for example "
        "`https://app.example.com`, separated by commas. `*`: any.",
    )
    webhook_secret: LongSecret = Field(
        default=None,
        description="The secret that database webhooks send as `x-webhook-secret`. If it is not "
        "set, "
        "they need a service key.",
    )
    public_url: BareUrl | None = Field(
        default=None,
        description="The public URL of the gateway, for the links in its responses. Default: the "
        "address it listens on; requests under another host name get links without a host.",
    )
    trusted_proxies: Proxies = Field(
        default=(),
        validation_alias=AliasChoices("MEDIA_ENRICHER_TRUSTED_PROXIES", "FORWARDED_ALLOW_IPS"),
        description="The addresses and networks of proxies that are trusted to report the caller's "
        "address (`X-Forwarded-For`), separated by commas. `*`: any.",
    )
    request_seconds: float = Field(
        default=5.0,
        gt=0,
        description="How long a request may take to arrive completely, in seconds.",
    )
    connections: int = Field(
        default=500,
        ge=1,
        description="The maximum number of connections at once. Further ones get status 503.",
    )
    picture_seconds: int = Field(
        default=600, ge=1, description="How long signed URLs of pictures are valid, in seconds."
    )
    image_transformation: bool = Field(
        default=True,
        description="Whether the admin page shows smaller pictures that Supabase Storage makes, if "
        "the project has image transformation, which is billed by the picture. Without it, the "
        "page loads only pictures of up to 1 MB and shows the placeholders of larger ones.",
    )
    prefect_ui_url: BareUrl | None = Field(
        default=None,
        description="The public URL of the Prefect UI. Default: the URL of the Prefect API without "
        "`/api`.",
    )
    service_role_key: SecretStr | None = Field(
        default=None,
        validation_alias="SUPABASE_SERVICE_ROLE_KEY",
        description="The legacy service key. If a secret key is also set, the gateway accepts "
        "both.",
    )
    jwt_secret: LongSecret = Field(
        default=None,
        validation_alias="SUPABASE_JWT_SECRET",
        description="The legacy JWT secret, if users' tokens are signed with it (HS256). If it "
        "is not "
        "set, only ES256 and RS256 tokens are accepted.",
    )
    jwt_issuer: str | None = Field(
        default=None,
        validation_alias="SUPABASE_JWT_ISSUER",
        description="The issuer of users' tokens. Default: the project's URL followed by "
        "`/auth/v1`.",
    )
