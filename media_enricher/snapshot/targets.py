"""The two places for snapshots: a Storage bucket of their own, or a local folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from media_enricher.snapshot import layout

PARQUET = "application/vnd.apache.parquet"
BUCKET_SCHEME = "bucket:"
DELETED_AT_ONCE = 1_000
_UNFINISHED = ".unfinished"


class SnapshotError(Exception):
    """A snapshot cannot be written or read. The message says why and what to do."""


class StorageBucket(Protocol):
    """What a snapshot needs of a Storage bucket; `supabase.bucket.Bucket` is one."""

    def is_public(self) -> bool | None:
        """Whether anyone may read its objects without a key; None for a missing bucket."""

    def create_private(self) -> None:
        """Create the bucket, readable only with a key."""

    def upload(self, path: str, data: bytes, content_type: str) -> None:
        """Write an object; overwrite an existing one."""

    def download(self, path: str) -> bytes:
        """Read an object."""

    def move(self, path: str, new_path: str) -> bool:
        """Rename an object; return whether it existed."""

    def delete(self, paths: Sequence[str]) -> None:
        """Delete at most 1,000 objects; missing ones are no error."""

    def list(self, prefix: str) -> list[str]:
        """The paths of the objects under a folder, `folder/`, at any depth."""


OpenBucket = Callable[[str], StorageBucket]


class Target(Protocol):
    """A place for files, addressed by `/`-separated paths below it."""

    def address(self, path: str) -> str:
        """The address of a path, as users write it and `open_snapshot` reads it."""

    def escape(self, value: str) -> str:
        """The value of a partition, escaped for a path of this place."""

    def prepare(self) -> None:
        """Create the place if it is missing; raise SnapshotError if it is not suitable."""

    def write(self, path: str, data: bytes) -> None:
        """Write a file atomically; overwrite an existing one."""

    def read(self, path: str) -> bytes:
        """The bytes of a file."""

    def move(self, path: str, new_path: str) -> bool:
        """Rename a file; return whether it existed."""

    def delete(self, paths: Sequence[str]) -> None:
        """Delete files, and the temporary files of interrupted writes."""

    def list(self, folder: str) -> list[str]:
        """The paths of the files below a folder at any depth, in order; none if it is missing."""


class BucketTarget:
    """A private Storage bucket that holds nothing but snapshots."""

    def __init__(self, name: str, open_bucket: OpenBucket) -> None:
        self.name = name
        self._bucket = open_bucket(name)

    def address(self, path: str) -> str:
        """`bucket:NAME/path`."""
        return f"{BUCKET_SCHEME}{self.name}/{path}"

    def escape(self, value: str) -> str:
        """Storage refuses `%` in an object's name."""
        return layout.escape_for_storage(value)

    def prepare(self) -> None:
        """Create the bucket, private, if it is missing.

        Raises:
            SnapshotError: it is public, so that anyone could read the metadata of private files.
            SupabaseError: Storage did not respond, or rejected the key.
        """
        is_public = self._bucket.is_public()
        if is_public is None:
            self._bucket.create_private()
            is_public = self._bucket.is_public()  # somebody else may have created it meanwhile
        if is_public:
            raise SnapshotError(
                f"the snapshot bucket {self.name!r} is public, so anyone could read the paths and "
                "metadata of private files. Make it private, or set MEDIA_ENRICHER_SNAPSHOT to "
                "another bucket (it is created if missing)"
            )

    def write(self, path: str, data: bytes) -> None:
        """Upload an object; overwrite an existing one."""
        self._bucket.upload(path, data, PARQUET)

    def read(self, path: str) -> bytes:
        """Download an object."""
        return self._bucket.download(path)

    def move(self, path: str, new_path: str) -> bool:
        """Rename an object; return whether it existed."""
        return self._bucket.move(path, new_path)

    def delete(self, paths: Sequence[str]) -> None:
        """Delete objects; Storage keeps nothing of an upload that was cut short."""
        for start in range(0, len(paths), DELETED_AT_ONCE):
            self._bucket.delete(paths[start : start + DELETED_AT_ONCE])

    def list(self, folder: str) -> list[str]:
        """The objects below a folder."""
        return sorted(self._bucket.list(f"{folder}/" if folder else ""))


class FolderTarget:
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().absolute()

    def address(self, path: str) -> str:
        """The absolute path."""
        return str(self.folder / path)

    def escape(self, value: str) -> str:
        """Percent-encoded, so that no value can leave its folder."""
        return layout.escape_for_folder(value)

    def prepare(self) -> None:
        """Create the folder if it is missing.

        Raises:
            SnapshotError: it cannot be created or written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise SnapshotError(
                f"cannot write to the snapshot folder {self.folder}: {error.strerror}. Set "
                "MEDIA_ENRICHER_SNAPSHOT to a writable folder, or to bucket:NAME"
            ) from None

    def write(self, path: str, data: bytes) -> None:
        """Write to a temporary name and rename it, so that a reader never sees half a part.

        Raises:
            SnapshotError: the file cannot be written, for example because the disk is full.
        """
        whole = self.folder / path
        try:
            whole.parent.mkdir(parents=True, exist_ok=True)
            self._write(whole, data)
        except OSError as error:
            raise SnapshotError(
                f"cannot write {whole}: {error.strerror}. Free some disk space, or set "
                "MEDIA_ENRICHER_SNAPSHOT to another place, and start the run again: it reuses the "
                "results in the task cache"
            ) from error

    def _write(self, whole: Path, data: bytes) -> None:
        handle, unfinished = tempfile.mkstemp(
            dir=whole.parent, prefix=f".{whole.name}.", suffix=_UNFINISHED
        )
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())  # a power failure must not lose the part but keep its rows
            Path(unfinished).replace(whole)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(unfinished).unlink()
            raise

    def read(self, path: str) -> bytes:
        """The bytes of a file."""
        return (self.folder / path).read_bytes()

    def move(self, path: str, new_path: str) -> bool:
        """Rename a file; return whether it existed.

        Raises:
            SnapshotError: the file cannot be renamed.
        """
        whole = self.folder / path
        try:
            whole.replace(self.folder / new_path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise SnapshotError(f"cannot rename {whole}: {error.strerror}") from error
        return True

    def delete(self, paths: Sequence[str]) -> None:
        """Delete files, and the temporary files of interrupted writes.

        Raises:
            SnapshotError: a file cannot be deleted.
        """
        for whole in (self.folder / path for path in paths):
            try:
                whole.unlink(missing_ok=True)
                for unfinished in whole.parent.glob(f".{whole.name}.*{_UNFINISHED}"):
                    unfinished.unlink(missing_ok=True)
            except OSError as error:
                raise SnapshotError(f"cannot delete {whole}: {error.strerror}") from error

    def list(self, folder: str) -> list[str]:
        """The files below a folder."""
        return sorted(
            file.relative_to(self.folder).as_posix()
            for file in (self.folder / folder).rglob("*")
            if file.is_file()
        )


def bucket_name(setting: str) -> str | None:
    """The bucket that MEDIA_ENRICHER_SNAPSHOT names; None if it is a folder.

    Raises:
        SnapshotError: the setting is not valid.
    """
    if not setting.strip():
        raise SnapshotError(
            "MEDIA_ENRICHER_SNAPSHOT is empty. Set it to bucket:NAME, or to a folder"
        )
    if not setting.startswith(BUCKET_SCHEME):
        return None
    name = setting.removeprefix(BUCKET_SCHEME)
    if not name or "/" in name:
        raise SnapshotError(
            f"MEDIA_ENRICHER_SNAPSHOT = {setting!r} is not valid. "
            "Set it to bucket:NAME, or to a folder"
        )
    return name


def open_target(setting: str, open_bucket: OpenBucket) -> Target:
    """The place that MEDIA_ENRICHER_SNAPSHOT names: `bucket:NAME`, or a folder.

    Raises:
        SnapshotError: the setting is not valid.
    """
    name = bucket_name(setting)
    return FolderTarget(Path(setting)) if name is None else BucketTarget(name, open_bucket)


def locate(address: str, open_bucket: OpenBucket) -> tuple[Target, str]:
    """The place of an address, and the path in it, of a snapshot or of one part.

    For a folder, this is the folder itself and an empty path.
    """
    if address.startswith(BUCKET_SCHEME):
        name, _, folder = address.removeprefix(BUCKET_SCHEME).partition("/")
        return BucketTarget(name, open_bucket), folder.strip("/")
    path = Path(address)
    return (FolderTarget(path.parent), path.name) if path.is_file() else (FolderTarget(path), "")
