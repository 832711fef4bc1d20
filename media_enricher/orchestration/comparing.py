"""Comparing a bucket with its assets in pieces: the whole of it, or a part in each sweep."""

from __future__ import annotations

import msgspec

from media_enricher.comparisons import NextComparison
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

    It ends early if another comparison of the bucket begins, which finds all that this one would.

    Raises:
        SupabaseError: the database did not respond.
    """
    return _compare(bucket, number=None, rows=None)


def compare_part(bucket: str, following: NextComparison) -> Compared:
    """Compare a part of a bucket with its assets. The next sweep goes on from there.

    Raises:
        SupabaseError: the database did not respond.
    """
    return _compare(bucket, number=following.number, rows=following.part_rows)


def _compare(bucket: str, *, number: int | None, rows: int | None) -> Compared:
    """Go on with a comparison: for at least so many objects, or to its end."""
    assets, begins = resources.asset_table(), number is None
    objects = pieces = gone = pending = 0
    is_compared = is_complete = False
    while not is_complete and (is_compared or rows is None or objects < rows):
        step = assets.compare_next_piece(bucket, number)
        if step is None:
            break
        pieces += not is_compared
        objects, gone, pending = objects + step.objects, gone + step.gone, pending + step.pending
        number, is_compared, is_complete = step.number, step.is_compared, step.is_complete
    return Compared(
        bucket=bucket,
        objects=objects,
        pieces=pieces,
        gone=gone,
        pending=pending,
        is_whole=begins and is_complete,
    )
