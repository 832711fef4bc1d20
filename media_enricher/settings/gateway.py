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
        description="Who may start runs over HTTP besides the service key: `admins` (by "
        "`app_metadata`), or every user (`signed_in`).",
    )
    requests_per_minute: int = Field(
        default=10, ge=1, description="The most requests a minute of a user who is not an admin."
    )
    active_runs: int = Field(
        default=10,
        ge=1,
        description="The most backfills of users that are queued or running at once.",
    )
    tenant_active_runs: int = Field(
        default=4,
        ge=1,
        description="Of these, the most of one tenant. Users without a tenant share one such "
        "quota, except admins.",
    )
    user_active_runs: int = Field(
        default=4, ge=1, description="Of these, the most of one user, admins included."
    )
    service_active_runs: int = Field(
        default=100,
        ge=1,
        description="The most backfills of the service key that are queued or running at once, "
        "besides those of users.",
    )
    waiting_objects: int = Field(
        default=10_000,
        ge=1,
        description="The most single objects of a tenant that may be queued by `POST /enrich`.",
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
        description="What database webhooks send as `x-webhook-secret`. If it is not set, they "
        "need a service key.",
    )
    public_url: BareUrl | None = Field(
        default=None,
        description="The URL of the gateway, for the links in its answers. Default: the "
        "address it listens on; requests to another host name get links without a host.",
    )
    trusted_proxies: Proxies = Field(
        default=(),
        validation_alias=AliasChoices("MEDIA_ENRICHER_TRUSTED_PROXIES", "FORWARDED_ALLOW_IPS"),
        description="Addresses and networks of proxies whose `X-Forwarded-For` is trusted, "
        "separated by commas; `*` for any.",
    )
    request_seconds: float = Field(
        default=5.0, gt=0, description="A request that takes longer than this to arrive is ended."
    )
    connections: int = Field(
        default=500, ge=1, description="The most connections at once; more are answered 503."
    )
    picture_seconds: int = Field(
        default=600, ge=1, description="How long the signed URLs of pictures are valid."
    )
    prefect_ui_url: BareUrl | None = Field(
        default=None,
        description="The URL of Prefect's UI, for people. Default: beside Prefect's API.",
    )
    service_role_key: SecretStr | None = Field(
        default=None,
        validation_alias="SUPABASE_SERVICE_ROLE_KEY",
        description="The legacy service_role JWT. If a secret key is set, too, servers may send "
        "either.",
    )
    jwt_secret: LongSecret = Field(
        default=None,
        validation_alias="SUPABASE_JWT_SECRET",
        description="The legacy JWT secret, if users' tokens are still signed with it (HS256). "
        "If it is not set, only ES256 and RS256 are accepted.",
    )
    jwt_issuer: str | None = Field(
        default=None,
        validation_alias="SUPABASE_JWT_ISSUER",
        description="The issuer of users' tokens. Default: the project's URL and `/auth/v1`.",
    )
