"""Check the place of snapshots: runs can write there, and the public cannot read it."""

from __future__ import annotations

import os
from pathlib import Path

from media_enricher.doctor.setup import Setup, Trouble
from media_enricher.doctor.supabase_checks import describe_bucket
from media_enricher.snapshot.targets import SnapshotError, bucket_name

CHOOSE_ANOTHER = "Set MEDIA_ENRICHER_SNAPSHOT to bucket:NAME (created if missing) or to a folder"


def snapshot_target_is_fit(setup: Setup) -> str:
    """The bucket is private, or will be created as private; or the folder can be written."""
    try:
        name = bucket_name(setup.settings.snapshot)
    except SnapshotError as error:
        raise Trouble(str(error), CHOOSE_ANOTHER) from None
    return _folder(Path(setup.settings.snapshot)) if name is None else _bucket(setup, name)


def _bucket(setup: Setup, name: str) -> str:
    answer = describe_bucket(setup, name)
    if answer.status == 404:
        return f"bucket {name} does not exist yet; the first run creates it as a private bucket"
    if not answer.is_ok:
        raise Trouble(
            f"cannot read the snapshot bucket {name!r}: status {answer.status}, {answer.message}",
            CHOOSE_ANOTHER,
        )
    if answer.body.get("public"):
        raise Trouble(
            f"the snapshot bucket {name!r} is public: anyone could read the paths and metadata of "
            "private files",
            f"Make it private in the dashboard under Storage, or choose another place: "
            f"{CHOOSE_ANOTHER}",
        )
    return f"bucket {name} (private)"


def _folder(folder: Path) -> str:
    folder = folder.expanduser().absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        raise Trouble(
            f"cannot create the snapshot folder {folder}: {existing} is a file", CHOOSE_ANOTHER
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise Trouble(
            f"cannot write to the snapshot folder {folder}: no permission for {existing}",
            CHOOSE_ANOTHER,
        )
    return f"folder {folder}"
