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

    # `MEDIA_ENRICHER_WEBHOOK_SECRET=` sets no empty secret.
    model_config = SettingsConfigDict(env_prefix="MEDIA_ENRICHER_", env_ignore_empty=True)

    who_may_trigger: WhoMayTrigger = Field(
        default=WhoMayTrigger.ADMINS,
        description="Who starts runs over HTTP beside the service key: `admins` (by "
        "`app_metadata`), or `signed_in` for every user.",
    )
    requests_per_minute: int = Field(
        default=10, ge=1, description="The most requests a minute of a user who is no admin."
    )
    active_runs: int = Field(
        default=10, ge=1, description="The most backfills of users queued or running at once."
    )
    tenant_active_runs: int = Field(
        default=4,
        ge=1,
        description="Of these, the most of one tenant. Users who belong to none share one such "
        "quota, but for admins.",
    )
    user_active_runs: int = Field(
        default=4, ge=1, description="Of these, the most of one user, admins included."
    )
    service_active_runs: int = Field(
        default=100,
        ge=1,
        description="The most backfills that the service key may have queued or running, beside "
        "those of users.",
    )
    waiting_objects: int = Field(
        default=10_000,
        ge=1,
        description="The most single objects that a tenant may have waiting for `POST /enrich`.",
    )
    unauthenticated_per_minute: int = Field(
        default=60,
        ge=1,
        description="The most requests without valid credentials that an address may make in a "
        "minute; more are answered 429.",
    )
    cors_origins: Origins = Field(
        default=(),
        description="Origins whose pages may call the gateway, as `https://app.example.com`, "
        "separated by commas; `*` for any.",
    )
    webhook_secret: LongSecret = Field(
        default=None,
        description="What database webhooks send as `x-webhook-secret`. Without it they need a "
        "service key.",
    )
    public_url: BareUrl | None = Field(
        default=None,
        description="Where the gateway is reached, for the links in its answers. Default: the "
        "address it listens on, and links without a host where it was asked by another name.",
    )
    trusted_proxies: Proxies = Field(
        default=(),
        validation_alias=AliasChoices("MEDIA_ENRICHER_TRUSTED_PROXIES", "FORWARDED_ALLOW_IPS"),
        description="Addresses and networks of proxies that are believed about the caller's "
        "address (`X-Forwarded-For`), separated by commas; `*` for any.",
    )
    request_seconds: float = Field(
        default=5.0, gt=0, description="A request that has not arrived whole by then is ended."
    )
    connections: int = Field(
        default=500, ge=1, description="The most connections at once; more are answered 503."
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
    jwt_secret: LongSecret = Field(
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
