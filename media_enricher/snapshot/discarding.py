"""What becomes of a part that was written: recorded, it gets its name; never recorded, it goes.

A part is written under a name that readers do not take. Whoever learns from the database that it is
recorded renames it, at any time and as often as they like: its writer, and where that was killed in
between, the next attempt at the run, the next run on the bucket, or the sweep.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from media_enricher.snapshot import layout
from media_enricher.snapshot.targets import OpenBucket, Target, locate

_LEVELS = 3
"""Of folders between the place of all snapshots and the parts of one: bucket, date and run."""


def publish(target: Target, folder: str, number: int) -> None:
    """Give a recorded part the name that readers look for. One that has it keeps it.

    Raises:
        SnapshotError: a folder does not let it be renamed.
        SupabaseError: Storage did not do it, after retries.
    """
    target.move(*_names(folder, number))


def discard(target: Target, folder: str, numbers: Iterable[int]) -> None:
    """Delete parts that were never recorded, whole, half-written or not there at all.

    By both names: workers of an older version wrote parts under the one that readers look for.

    Raises:
        SnapshotError: a folder does not let them go.
        SupabaseError: Storage did not do it, after retries.
    """
    target.delete([name for number in numbers for name in _names(folder, number)])


def settle_parts(
    address: str, recorded: int | None, given_up: Iterable[int], open_bucket: OpenBucket
) -> bool:
    """Show readers the last recorded part of a snapshot, and delete those that were given up.

    Args:
        address: of the snapshot, as in `media_enrich_runs.snapshot_path`.
        recorded: the last recorded part, if there is one; those before have their names.
        given_up: parts that were never recorded.
        open_bucket: makes the Storage bucket of a name; asked only for a snapshot in one.

    Returns:
        Whether it is done. A folder of another machine can't be reached from here.

    Raises:
        SnapshotError: a folder does not let them be renamed, or go.
        SupabaseError: Storage did not do it, after retries.
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
