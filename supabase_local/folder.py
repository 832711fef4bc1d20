"""The data folder of a stack: its files, its lock, and what runs in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from supabase_local.atomic_file import write_record
from supabase_local.errors import LocalStackError
from supabase_local.keys import StackKeys, load_or_make_keys
from supabase_local.locks import FolderLock, HeldError


class Running(msgspec.Struct, frozen=True):
    """What a running stack writes about itself, to `running.json`."""

    pid: int
    url: str
    database_port: int


class Ports(msgspec.Struct, frozen=True):
    """The ports of the last start, which the next one takes again if they are free."""

    http: int | None = None
    database: int | None = None


class StackFolder:
    """The paths in a data folder. All of it may be deleted while nothing runs in it."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.postgres = self.root / "postgres"
        self.blobs = self.root / "blobs"
        self.logs = self.root / "logs"
        self.access_log = self.logs / "storage-access.jsonl"
        self.jwks = self.root / "postgrest-jwks.json"
        self._keys = self.root / "keys.json"
        self._running = self.root / "running.json"
        self._ports = self.root / "ports.json"
        self._lock = FolderLock(self.root / "lock")

    def make(self) -> None:
        """Make the folder if it is missing.

        Raises:
            LocalStackError: it cannot be made, or is something else's.
        """
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise LocalStackError(f"{self.root} is not a folder. Name another one.") from None
        except PermissionError:
            raise LocalStackError(
                f"No permission to write to {self.root}. Name another folder."
            ) from None

    def keys(self) -> StackKeys:
        """The stack's keys, made the first time."""
        return load_or_make_keys(self._keys)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Lock the folder while the block runs. The kernel releases it when the process ends.

        Raises:
            LocalStackError: another stack holds it.
        """
        try:
            with self._lock.held():
                try:
                    yield
                finally:
                    self._running.unlink(missing_ok=True)
        except HeldError:
            running = self._read_running()
            where = f" at {running.url}" if running else ""
            how = f" with `kill {running.pid}`" if running else ""
            raise LocalStackError(
                f"A local stack is running in {self.root} already{where}. Use it, stop it{how}, or "
                "name another folder."
            ) from None

    def running(self) -> Running | None:
        """The stack that runs here, if one does. A file that a killed stack left does not count."""
        return self._read_running() if self.is_held() else None

    def is_held(self) -> bool:
        """Whether a stack holds the folder."""
        return self._lock.is_held()

    def write_running(self, running: Running) -> None:
        """Write what runs here, and remember its ports for the next start."""
        write_record(running, self._running)
        http = int(running.url.rpartition(":")[2])
        write_record(Ports(http, running.database_port), self._ports)

    def last_ports(self) -> Ports:
        """The ports of the last start."""
        try:
            return msgspec.json.decode(self._ports.read_bytes(), type=Ports)
        except (FileNotFoundError, msgspec.DecodeError):
            return Ports()

    def _read_running(self) -> Running | None:
        try:
            return msgspec.json.decode(self._running.read_bytes(), type=Running)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
