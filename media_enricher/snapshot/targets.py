"""The two places a snapshot can be kept: a Storage bucket of its own, or a local folder."""

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
    """A snapshot can't be written or read as asked. The message says why and what to do."""


class StorageBucket(Protocol):
    """What a snapshot needs of a Storage bucket; `supabase.bucket.Bucket` is one."""

    def exists(self) -> bool:
        """Whether there is such a bucket."""

    def is_public(self) -> bool:
        """Whether anyone may read its objects without a key."""

    def create_private(self) -> None:
        """Make it."""

    def upload(self, path: str, data: bytes, content_type: str) -> None:
        """Write an object, over an existing one too."""

    def download(self, path: str) -> bytes:
        """Read an object."""

    def move(self, path: str, new_path: str) -> bool:
        """Rename an object; whether there was one."""

    def delete(self, paths: Sequence[str]) -> None:
        """Delete objects, at most 1,000; those that are gone already, too."""

    def list(self, prefix: str) -> list[str]:
        """The paths of the objects under a folder, `folder/`, at any depth."""


OpenBucket = Callable[[str], StorageBucket]


class Target(Protocol):
    """A place for files, addressed by `/`-separated paths below it."""

    def address(self, path: str) -> str:
        """A path of this place as users write it, for `open_snapshot` to find it again."""

    def escape(self, value: str) -> str:
        """A partition's value as this place can hold it in a path."""

    def prepare(self) -> None:
        """Make the place if it is missing, and refuse it if it is not fit."""

    def write(self, path: str, data: bytes) -> None:
        """Write a file whole or not at all, over an existing one too."""

    def read(self, path: str) -> bytes:
        """The bytes of a file."""

    def move(self, path: str, new_path: str) -> bool:
        """Rename a file; whether there was one."""

    def delete(self, paths: Sequence[str]) -> None:
        """Delete files, and what is left of writes of them that were cut short."""

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
            SnapshotError: it is public, so anyone could read what was found in private files.
            SupabaseError: Storage did not answer, or not to this key.
        """
        if not self._bucket.exists():
            self._bucket.create_private()
        if self._bucket.is_public():
            raise SnapshotError(
                f"the snapshot bucket {self.name!r} is public, so anyone could read the paths and "
                "metadata of private files. Make it private, or set MEDIA_ENRICHER_SNAPSHOT to "
                "another one (it is created if missing)"
            )

    def write(self, path: str, data: bytes) -> None:
        """Upload an object, over an existing one too."""
        self._bucket.upload(path, data, PARQUET)

    def read(self, path: str) -> bytes:
        """Download an object."""
        return self._bucket.download(path)

    def move(self, path: str, new_path: str) -> bool:
        """Rename an object; whether there was one."""
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
        """Make the folder if it is missing.

        Raises:
            SnapshotError: it can't be made or written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise SnapshotError(
                f"the snapshot folder {self.folder} can't be written: {error.strerror}. Set "
                "MEDIA_ENRICHER_SNAPSHOT to a folder that can, or to bucket:NAME"
            ) from None

    def write(self, path: str, data: bytes) -> None:
        """Write to a temporary name and rename it, so that a reader never sees half a part.

        Raises:
            SnapshotError: the folder does not take it, as when its disk is full.
        """
        whole = self.folder / path
        try:
            whole.parent.mkdir(parents=True, exist_ok=True)
            self._write(whole, data)
        except OSError as error:
            raise SnapshotError(
                f"{whole} can't be written: {error.strerror}. What was found is in the task cache: "
                "make room, or set MEDIA_ENRICHER_SNAPSHOT to another place, and run it again"
            ) from error

    def _write(self, whole: Path, data: bytes) -> None:
        handle, unfinished = tempfile.mkstemp(
            dir=whole.parent, prefix=f".{whole.name}.", suffix=_UNFINISHED
        )
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())  # its rows must not outlive it when the power goes
            Path(unfinished).replace(whole)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(unfinished).unlink()
            raise

    def read(self, path: str) -> bytes:
        """The bytes of a file."""
        return (self.folder / path).read_bytes()

    def move(self, path: str, new_path: str) -> bool:
        """Rename a file; whether there was one.

        Raises:
            SnapshotError: the folder does not let it be renamed.
        """
        whole = self.folder / path
        try:
            whole.replace(self.folder / new_path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise SnapshotError(f"{whole} can't be renamed: {error.strerror}") from error
        return True

    def delete(self, paths: Sequence[str]) -> None:
        """Delete files, and what is left of writes of them that were cut short.

        Raises:
            SnapshotError: the folder does not let them go.
        """
        for whole in (self.folder / path for path in paths):
            try:
                whole.unlink(missing_ok=True)
                for unfinished in whole.parent.glob(f".{whole.name}.*{_UNFINISHED}"):
                    unfinished.unlink(missing_ok=True)
            except OSError as error:
                raise SnapshotError(f"{whole} can't be deleted: {error.strerror}") from error

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
        SnapshotError: the setting names nothing.
    """
    if not setting.strip():
        raise SnapshotError("MEDIA_ENRICHER_SNAPSHOT is empty. Give bucket:NAME, or a folder")
    if not setting.startswith(BUCKET_SCHEME):
        return None
    name = setting.removeprefix(BUCKET_SCHEME)
    if not name or "/" in name:
        raise SnapshotError(
            f"MEDIA_ENRICHER_SNAPSHOT = {setting!r} names no bucket. Give bucket:NAME, or a folder"
        )
    return name


def open_target(setting: str, open_bucket: OpenBucket) -> Target:
    """The place that MEDIA_ENRICHER_SNAPSHOT names: `bucket:NAME`, or a folder.

    Raises:
        SnapshotError: the setting names nothing.
    """
    name = bucket_name(setting)
    return FolderTarget(Path(setting)) if name is None else BucketTarget(name, open_bucket)


def locate(address: str, open_bucket: OpenBucket) -> tuple[Target, str]:
    """The place that an address is in, and the path there: of a snapshot, or of one part.

    Of a folder that is the folder itself, and an empty path.
    """
    if address.startswith(BUCKET_SCHEME):
        name, _, folder = address.removeprefix(BUCKET_SCHEME).partition("/")
        return BucketTarget(name, open_bucket), folder.strip("/")
    path = Path(address)
    return (FolderTarget(path.parent), path.name) if path.is_file() else (FolderTarget(path), "")
