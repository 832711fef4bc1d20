"""What a signed-in user may read in Storage, according to the database and the user's own token.

The functions run with the user's rights, under Storage's own policies, so a response never shows
what is hidden from the user. (The gateway's own client, with its service key, sees everything.)
"""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr
from supabase import Client

from media_enricher.supabase.retrying import call


class UserReading:
    """Checks as a user. Every method is safe to repeat.

    All methods raise SupabaseError if Supabase refuses or fails a request, after retries.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def reads_prefix(self, token: SecretStr, bucket: str, prefix: str) -> bool:
        """Whether Storage's policies let the user read everything under a prefix.

        The result depends only on the policies, so it does not reveal which objects exist.
        """
        return bool(self._call(token, "media_reads_prefix", p_bucket=bucket, p_prefix=prefix))

    def reads_object(self, token: SecretStr, bucket: str, path: str) -> bool:
        """Whether the user can see an object; also False if it does not exist."""
        return bool(self._call(token, "media_reads_object", p_bucket=bucket, p_path=path))

    def buckets(self, token: SecretStr, names: list[str]) -> list[str]:
        """The buckets, of those given, that the user may see."""
        return list(self._call(token, "media_reads_buckets", p_buckets=names))

    def tenant_buckets(self, tenant_id: str) -> list[str]:
        """The buckets with objects in a tenant's folder; uses the service key."""
        return list(self._call(None, "media_tenant_buckets", p_tenant_id=tenant_id))

    def _call(self, token: SecretStr | None, function: str, **arguments: Any) -> Any:
        def ask() -> Any:
            request = self._client.rpc(function, arguments)
            if token is not None:  # the API key alone carries no user
                request.request.headers["Authorization"] = f"Bearer {token.get_secret_value()}"
            return request.execute().data

        return call(function, ask)
