"""Deleting parts that were never recorded from snapshots whose runs are over."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from media_enricher.snapshot import layout
from media_enricher.snapshot.targets import OpenBucket, locate

_LEVELS = 3
"""Of folders between the place of all snapshots and the parts of one: bucket, date and run."""


def discard_parts(address: str, numbers: Iterable[int], open_bucket: OpenBucket) -> bool:
    """Delete parts of a snapshot, whole, half-written or not there at all.

    Args:
        address: of the snapshot, as in `media_enrich_runs.snapshot_path`.
        numbers: of its parts.
        open_bucket: makes the Storage bucket of a name; asked only for a snapshot in one.

    Returns:
        Whether they are gone now. A folder of another machine can't be reached from here.

    Raises:
        SnapshotError: a folder does not let them go.
        SupabaseError: Storage did not do it, after retries.
    """
    target, folder = locate(address, open_bucket)
    if not folder and not Path(address).parents[_LEVELS - 1].is_dir():
        return False
    start = f"{folder}/" if folder else ""
    target.delete([f"{start}{layout.part_name(number)}" for number in numbers])
    return True
