"""Comparing a bucket with its assets in pieces: the whole of it, or a part in each sweep."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from media_enricher.comparisons import Comparison, NextComparison, TenantPending
from media_enricher.models import Selection
from media_enricher.orchestration import resources


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What comparing a bucket, or a part of it, has found.

    Attributes:
        bucket: the bucket.
        objects: how many of its objects were compared.
        pieces: in how many statements.
        gone: assets that were marked as gone.
        pending: objects that a run in mode missing would process.
        is_whole: whether it was the whole bucket.
    """

    bucket: str
    objects: int = 0
    pieces: int = 0
    gone: int = 0
    pending: int = 0
    is_whole: bool = False

    def summary(self, of: int) -> str:
        """For people, in one sentence.

        Args:
            of: the objects of the bucket as they were counted last; only of interest for a part.
        """
        share = "all" if self.is_whole else f"of about {of:,}"
        return (
            f"compared {self.objects:,} objects of {self.bucket} ({share}) in {self.pieces:,} "
            f"{'piece' if self.pieces == 1 else 'pieces'}: {self.pending:,} pending, "
            f"{self.gone:,} newly gone"
        )


def compare_whole(bucket: str) -> Compared:
    """Compare all of a bucket with its assets: mark what is gone, store what is pending.

    Raises:
        SupabaseError: the database did not respond.
    """
    return _compare(bucket, Comparison(), rows=None)


def compare_part(bucket: str, following: NextComparison) -> Compared:
    """Compare a part of a bucket with its assets, and store where the next sweep goes on.

    Raises:
        SupabaseError: the database did not respond.
    """
    begun = Comparison(
        after=following.after,
        started_at=following.part_from if following.after else None,
        objects=following.part_objects,
        tenants=following.tenants,
    )
    return _compare(bucket, begun, rows=following.part_rows)


def _compare(bucket: str, begun: Comparison, *, rows: int | None) -> Compared:
    """Go on with a comparison: for at least so many objects, or to the end of the bucket."""
    assets, comparison = resources.asset_table(), begun
    pieces = gone = pending = 0
    tenants: dict[tuple[str | None, bool], TenantPending] = {}
    _add(tenants, begun.tenants)
    while not comparison.is_complete and (
        rows is None or comparison.objects - begun.objects < rows
    ):
        left = Selection(bucket=bucket, after=comparison.after)
        piece = assets.compare_piece(left, by_tenant=True)
        pieces, gone, pending = pieces + 1, gone + piece.gone, pending + piece.pending
        _add(tenants, piece.tenants or [])
        comparison = Comparison(
            after=piece.until,
            is_complete=piece.is_last,
            started_at=comparison.started_at or piece.started_at,
            objects=comparison.objects + piece.objects,
        )
    found = msgspec.structs.replace(comparison, tenants=list(tenants.values()))
    assets.note_comparison(bucket, begun.after, found)
    return Compared(
        bucket=bucket,
        objects=comparison.objects - begun.objects,
        pieces=pieces,
        gone=gone,
        pending=pending,
        is_whole=comparison.is_complete and not begun.after,
    )


def _add(
    tenants: dict[tuple[str | None, bool], TenantPending], counts: Iterable[TenantPending]
) -> None:
    """Add to what is known of each tenant: no more entries than two for each."""
    for count in counts:
        key = count.tenant, count.is_recorded
        before = tenants.get(key)
        tenants[key] = (
            count
            if before is None
            else msgspec.structs.replace(
                count,
                objects=count.objects + before.objects,
                size_bytes=count.size_bytes + before.size_bytes,
            )
        )
