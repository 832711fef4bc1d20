"""The keys of a Supabase project, as a Prefect block."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from media_enricher.settings import BareUrl, SupabaseSettings

if TYPE_CHECKING:
    from supabase import Client


class SupabaseCredentials(Block):
    """The URL and the keys of a Supabase project.

    Prefect encrypts the keys at rest and hides them in its UI.

    Example:
        ```python
        from media_enricher.blocks import SupabaseCredentials

        client = SupabaseCredentials.load("media-enricher").get_client()
        ```
    """

    _block_type_name = "Supabase Credentials"
    _block_type_slug = "supabase-credentials"

    url: BareUrl = Field(description="The project's URL, for example `https://<ref>.supabase.co`.")
    service_key: SecretStr = Field(
        description="A secret key (`sb_secret_…`) or the legacy service_role JWT."
    )
    anon_key: SecretStr | None = Field(
        default=None,
        description="The publishable key (`sb_publishable_…`) or the legacy anon JWT.",
    )

    def get_client(self) -> Client:
        """A client of the project with the service key, shared within this process."""
        return _client(self.url, self.service_key.get_secret_value())


@lru_cache(maxsize=8)
def _client(url: str, service_key: str) -> Client:
    """One client for all copies of a block: Prefect may load it for each task run."""
    from media_enricher.supabase.client import connect  # noqa: PLC0415

    return connect(SupabaseSettings(url=url, service_key=SecretStr(service_key)))
