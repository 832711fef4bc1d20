"""Settings of `media-enricher setup`."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from media_enricher.settings.reading import FromEnvironment
from media_enricher.settings.values import SecretUrl


class SetupSettings(FromEnvironment):
    """What `media-enricher setup` creates. Every setting has a default."""

    model_config = SettingsConfigDict(env_prefix="MEDIA_ENRICHER_", env_ignore_empty=True)

    notification_url: SecretUrl = Field(
        default=None,
        description="The URL of a webhook that is called for failed and crashed runs, for "
        "example one "
        "of Slack or Mattermost.",
    )
    image: str | None = Field(
        default=None,
        min_length=1,
        description="The container image of runs in a Docker work pool. Default: `media-enricher` "
        "with the version as its tag.",
    )
