"""Where snapshots go: it can be written, and not everyone can read it."""

from __future__ import annotations

import os
from pathlib import Path

from media_enricher.doctor.setup import Setup, Trouble
from media_enricher.doctor.supabase_checks import describe_bucket
from media_enricher.snapshot.targets import SnapshotError, bucket_name

CHOOSE_ANOTHER = "Set MEDIA_ENRICHER_SNAPSHOT to bucket:NAME (made if missing) or to a folder"


def snapshot_target_is_fit(setup: Setup) -> str:
    """The bucket is private, or will be made so; or the folder can be written."""
    try:
        name = bucket_name(setup.ours.snapshot)
    except SnapshotError as error:
        raise Trouble(str(error), CHOOSE_ANOTHER) from None
    return _folder(Path(setup.ours.snapshot)) if name is None else _bucket(setup, name)


def _bucket(setup: Setup, name: str) -> str:
    answer = describe_bucket(setup, name)
    if answer.status == 404:
        return f"bucket {name} is not there yet; the first run makes it, private"
    if not answer.is_ok:
        raise Trouble(
            f"asking for the snapshot bucket {name!r} gave {answer.status}: {answer.message}",
            CHOOSE_ANOTHER,
        )
    if answer.body.get("public"):
        raise Trouble(
            f"the snapshot bucket {name!r} is public: anyone could read the paths and metadata of "
            "private files",
            f"Make it private in the dashboard under Storage, or: {CHOOSE_ANOTHER}",
        )
    return f"bucket {name} (private)"


def _folder(folder: Path) -> str:
    folder = folder.expanduser().absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        raise Trouble(f"the snapshot folder can't be made: {existing} is a file", CHOOSE_ANOTHER)
    if not os.access(existing, os.W_OK | os.X_OK):
        raise Trouble(f"the snapshot folder can't be written: {existing}", CHOOSE_ANOTHER)
    return f"folder {folder}"
