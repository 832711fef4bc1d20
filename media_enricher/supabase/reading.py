"""What a signed-in user may read of Storage, asked of the database with the user's own token.

The functions run with the user's rights, under Storage's own policies: what is hidden from the user
can't show in an answer. (The gateway's own client, with its service key, sees everything.)
"""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr
from supabase import Client

from media_enricher.supabase.retrying import call


class UserReading:
    """Asks as a user. Every method may be called again.

    All methods raise SupabaseError when Supabase does not do what was asked, after retries.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def reads_prefix(self, token: SecretStr, bucket: str, prefix: str) -> bool:
        """Whether Storage's policies let the user read whatever there may be under a prefix.

        It depends on the policies alone, so it tells nothing of what there is.
        """
        return bool(self._call(token, "media_reads_prefix", p_bucket=bucket, p_prefix=prefix))

    def reads_object(self, token: SecretStr, bucket: str, path: str) -> bool:
        """Whether the user can see an object; False, too, if there is none."""
        return bool(self._call(token, "media_reads_object", p_bucket=bucket, p_path=path))

    def buckets(self, token: SecretStr, names: list[str]) -> list[str]:
        """Of these buckets, those that Storage lets the user know of."""
        return list(self._call(token, "media_reads_buckets", p_buckets=names))

    def tenant_buckets(self, tenant_id: str) -> list[str]:
        """The buckets that hold something in a tenant's folder; asked with the service key."""
        return list(self._call(None, "media_tenant_buckets", p_tenant_id=tenant_id))

    def _call(self, token: SecretStr | None, function: str, **arguments: Any) -> Any:
        def ask() -> Any:
            request = self._client.rpc(function, arguments)
            if token is not None:  # beside the key, which only lets the request in
                request.request.headers["Authorization"] = f"Bearer {token.get_secret_value()}"
            return request.execute().data

        return call(function, ask)
