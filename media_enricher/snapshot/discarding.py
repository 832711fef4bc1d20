"""Rename written parts once they are recorded, and delete parts that were never recorded.

A part is written under a name that readers ignore. Any process that learns from the database that
it is recorded may rename it, at any time and repeatedly: its writer or, if that was killed, the
next attempt at the run, the next run on the bucket, or the sweep.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from media_enricher.snapshot import layout
from media_enricher.snapshot.targets import OpenBucket, Target, locate

_LEVELS = 3
"""The number of folders between the place of all snapshots and a part: bucket, date and run."""


def publish(target: Target, folder: str, number: int) -> None:
    """Rename a recorded part to the name that readers look for, unless it already has it.

    Raises:
        SnapshotError: the file cannot be renamed.
        SupabaseError: Storage refused or failed a request, after retries.
    """
    target.move(*_names(folder, number))


def discard(target: Target, folder: str, numbers: Iterable[int]) -> None:
    """Delete parts that were never recorded: complete, partly written or missing ones.

    Both names are deleted, because older versions wrote parts under the name that readers look for.

    Raises:
        SnapshotError: a file cannot be deleted.
        SupabaseError: Storage refused or failed a request, after retries.
    """
    target.delete([name for number in numbers for name in _names(folder, number)])


def settle_parts(
    address: str, recorded: int | None, given_up: Iterable[int], open_bucket: OpenBucket
) -> bool:
    """Rename the last recorded part of a snapshot, and delete the parts that were given up.

    Args:
        address: the address of the snapshot, as in `media_enrich_runs.snapshot_path`.
        recorded: the last recorded part, if any; earlier ones are renamed already.
        given_up: parts that were never recorded.
        open_bucket: opens a Storage bucket by name; used only for a snapshot in a bucket.

    Returns:
        Whether it is done; False if the snapshot is in a folder of another machine.

    Raises:
        SnapshotError: a file cannot be renamed or deleted.
        SupabaseError: Storage refused or failed a request, after retries.
    """
    target, folder = locate(address, open_bucket)
    if not folder and not Path(address).parents[_LEVELS - 1].is_dir():
        return False
    if recorded is not None:
        publish(target, folder, recorded)
    discard(target, folder, given_up)
    return True


def _names(folder: str, number: int) -> tuple[str, str]:
    """The paths of a part before and after it is recorded."""
    start = f"{folder}/" if folder else ""
    return f"{start}{layout.unrecorded_name(number)}", f"{start}{layout.part_name(number)}"
