"""All assets together: their totals, searches, and what is known of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from supabase import Client

from media_enricher.supabase.retrying import call
from media_enricher.supabase.rows import storable

MOST_SIMILAR = 12
"""How many look-alikes are returned."""
_SIMILAR_LOOKED_AT = 200
"""How many are looked at for those of one tenant."""


class AssetLibrary:
    """What is known of the assets of all buckets, or of one tenant's.

    Every method is safe to repeat. The service key sees everything, so each method that reads
    assets is told the tenant; None stands for all tenants and none.

    All methods raise SupabaseError if Supabase refuses or fails a request, after retries.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def totals(self, tenant_id: str | None) -> list[dict[str, Any]]:
        """The buckets with their totals: rows of `media_dashboard`."""
        return self._rows("media_dashboard", {"p_tenant_id": tenant_id})

    def search(
        self, filters: dict[str, Any], columns: Sequence[str], tenant_id: str | None
    ) -> list[dict[str, Any]]:
        """Assets in the order of bucket and path.

        Args:
            filters: arguments of `media_search` by name; those that are None do not filter.
            columns: the columns to return.
            tenant_id: only this tenant's.
        """
        arguments = storable(filters) | {"tenant_id": tenant_id}
        return self._rows("media_search", arguments, columns)

    def get(self, asset_id: str, tenant_id: str | None) -> dict[str, Any] | None:
        """All columns of an asset; None if there is none, or it is another tenant's."""
        found = self._by_id([asset_id], ["*"], tenant_id)
        return found[0] if found else None

    def runs(self, asset_id: str) -> list[dict[str, Any]]:
        """The runs that are known to have tried an asset, or may have: newest first."""
        return self._rows("media_asset_runs", {"p_asset_id": asset_id})

    def similar(
        self, asset_id: str, columns: Sequence[str], tenant_id: str | None
    ) -> list[dict[str, Any]]:
        """Up to `MOST_SIMILAR` assets that look like one of them, the most similar first."""
        most = MOST_SIMILAR if tenant_id is None else _SIMILAR_LOOKED_AT
        near = self._rows("similar_media", {"asset_id": asset_id, "max_results": most}, ["id"])
        ids = [row["id"] for row in near]
        found = {row["id"]: row for row in self._by_id(ids, [*columns], tenant_id)}
        return [found[each] for each in ids if each in found][:MOST_SIMILAR]

    def _by_id(
        self, ids: Sequence[str], columns: Sequence[str], tenant_id: str | None
    ) -> list[dict[str, Any]]:
        if not ids:
            return []

        def select() -> Any:
            query = self._client.table("media_assets").select(",".join(columns)).in_("id", ids)
            if tenant_id is not None:
                query = query.eq("tenant_id", tenant_id)
            return query.execute().data

        rows: list[dict[str, Any]] = call("select from media_assets", select)
        return rows

    def _rows(
        self, function: str, arguments: dict[str, Any], columns: Sequence[str] = ("*",)
    ) -> list[dict[str, Any]]:
        def ask() -> Any:
            return self._client.rpc(function, arguments).select(",".join(columns)).execute().data

        rows: list[dict[str, Any]] = call(function, ask)
        return rows
