"""The bytes of objects: one file per version, named by the version.

A version is written once and never changed, so a reader is never torn.

The real server keeps bytes in a file system (its file backend) or in S3, as hosted projects do.
That shows in a few of its answers, and `Backend` says which of the two is followed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import BinaryIO

from supabase_local.storage import errors
from supabase_local.storage.errors import StorageError

PART_BYTES = 16 * 1024 * 1024
"""Larger objects have the ETag of a multipart upload of parts this long."""

_md5 = partial(hashlib.md5, usedforsecurity=False)


_LONGEST_FILE_NAME = 255  # bytes; the same on ext4, XFS and APFS


class Backend(StrEnum):
    """Where the real server would keep the bytes."""

    FILE = "file"
    """Files with the names of the objects, as a self-hosted Supabase has by default."""
    S3 = "s3"
    """S3 or what speaks its protocol, as hosted projects have."""


class BlobStore:
    """A folder of blobs."""

    def __init__(self, folder: Path, backend: Backend = Backend.FILE) -> None:
        self._backend = backend
        self._root = f"{folder}{os.sep}"
        for number in range(256):
            (folder / f"{number:02x}").mkdir(parents=True, exist_ok=True)

    def path(self, version: str) -> str:
        """Where the bytes of a version are (a string, because every download calls this)."""
        return f"{self._root}{version[:2]}{os.sep}{version}"

    def lost(self) -> StorageError:
        """What a download answers of an object that has a row and no bytes.

        The file backend does not expect that. S3 says that it has no such key, and the real server
        passes it on.
        """
        return errors.no_such_key() if self._backend is Backend.S3 else errors.internal_error()

    def require_storable(self, key: str) -> None:
        """Require that the backend can store an object of this name.

        Raises:
            StorageError: InternalError; a part of the path is longer than a file's name may be.
        """
        if self._backend is Backend.S3:
            return
        if any(len(segment.encode()) > _LONGEST_FILE_NAME for segment in key.split("/")):
            raise errors.internal_error("ENAMETOOLONG: name too long")

    def writer(self) -> BlobWriter:
        """Begin a new version."""
        return BlobWriter(self)

    def remove(self, version: str) -> None:
        """Delete a version's bytes, if they are there."""
        Path(self.path(version)).unlink(missing_ok=True)

    def copy(self, version: str) -> str:
        """The version of a second blob with the same bytes.

        Raises:
            FileNotFoundError: the first one is gone.
        """
        copied = str(uuid.uuid4())
        try:
            os.link(self.path(version), self.path(copied))  # versions never change
        except FileNotFoundError:
            raise
        except OSError:  # a file system without hard links
            shutil.copyfile(self.path(version), self.path(copied))
        return copied

    def md5(self, version: str) -> str:
        """The MD5 of a version's bytes, as 32 hexadecimal digits."""
        with Path(self.path(version)).open("rb") as blob:
            return hashlib.file_digest(blob, _md5).hexdigest()


class BlobWriter:
    """A version being written. Either `finish` or `abandon` it."""

    def __init__(self, store: BlobStore) -> None:
        self.version = str(uuid.uuid4())
        self.size = 0
        self._store = store
        self._file: BinaryIO = Path(store.path(self.version)).open("xb")  # noqa: SIM115
        self._part = _md5()
        self._part_bytes = 0
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._file.write(data)
        self.size += len(data)
        rest = memoryview(data)
        while len(rest) > PART_BYTES - self._part_bytes:
            space = PART_BYTES - self._part_bytes
            self._part.update(rest[:space])
            rest = rest[space:]
            self._end_part()
        self._part.update(rest)
        self._part_bytes += len(rest)

    def finish(self) -> str:
        """Close the file and return the ETag, with the double quotes that belong to it."""
        self._file.close()
        if not self._parts:
            return f'"{self._part.hexdigest()}"'
        self._end_part()
        combined = _md5(b"".join(self._parts))
        return f'"{combined.hexdigest()}-{len(self._parts)}"'

    def abandon(self) -> None:
        """Close and delete the file."""
        self._file.close()
        self._store.remove(self.version)

    def _end_part(self) -> None:
        self._parts.append(self._part.digest())
        self._part = _md5()
        self._part_bytes = 0
