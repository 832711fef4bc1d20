"""Rows of `media_assets` recorded as a run does it, without a snapshot."""

from __future__ import annotations

from collections.abc import Sequence

from media_enricher.models import MediaAsset, Outcome
from media_enricher.supabase.assets import AssetTable
from media_enricher.supabase.ledgers import PART_ROWS, SnapshotLedger
from media_enricher.supabase.runs import RunTable


def record(table: AssetTable, run_id: str, assets: Sequence[MediaAsset]) -> list[str]:
    """Record assets of one bucket; returns the paths that are gone."""
    if not assets:
        return []
    client, bucket = table._client, assets[0].bucket
    RunTable(client).record(run_id, bucket=bucket)
    ledger = SnapshotLedger(client)
    part = ledger.open(run_id, 0).part
    gone: list[str] = []
    for start in range(0, len(assets), PART_ROWS):
        outcomes = [Outcome(asset=each) for each in assets[start : start + PART_ROWS]]
        recorded = ledger.record(run_id, part, bucket, outcomes)
        assert recorded is not None
        part = recorded.next_part
        gone += recorded.gone
    return gone
