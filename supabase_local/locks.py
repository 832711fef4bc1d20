"""Holding a folder, so that two of us do not work in it at once."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class HeldError(Exception):
    """Somebody else holds the folder."""


class FolderLock:
    """A lock on a file. The kernel lets go of it with the process that holds it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold it while the block runs.

        Raises:
            HeldError: somebody else does.
        """
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise HeldError(str(self._file)) from None
        try:
            yield
        finally:
            os.close(descriptor)

    def is_held(self) -> bool:
        """Whether somebody holds it."""
        try:
            descriptor = os.open(self._file, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False
