"""A Prefect server as a child process, on this machine's loopback interface.

Nothing of Prefect is imported. Its database is a Postgres of its own, as Prefect advises for
production. On SQLite, it answers requests that get in each other's way with 503, and a client that
goes away during one can block the server for the minute that the next writer waits.
"""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

import msgspec

from supabase_local import children
from supabase_local.atomic_file import write_record
from supabase_local.ports import HOST, free_port, on_free_ports
from supabase_local.postgres import SUPERUSER, Postgres, new_password
from supabase_local.server_process import ServerProcess

_LEASES = "prefect.server.concurrency.lease_storage.filesystem"
"""Where it records who holds which slot of a deployment. In memory, a restart would lose it, and
slots would stay taken for ever."""


class _Access(msgspec.Struct, frozen=True):
    """How to reach the server. Stored beside its data, so that a restart changes nothing."""

    port: int
    auth_string: str
    database_password: str


class PrefectServer(ServerProcess):
    """A running server. Make it with `PrefectServer.start`; leave its block, and it has ended.

    Attributes:
        url: of the user interface; the API is at `/api`.
        auth_string: `user:password`, which both ask for, because the API lets a caller run code.
        database_url: of its database, with the password.
        log: its output.
    """

    what = "The Prefect server"
    stop_seconds = 10.0
    stop_signals = (signal.SIGINT, signal.SIGTERM)

    def __init__(
        self, process: subprocess.Popen[bytes], folder: Path, access: _Access, database: Postgres
    ) -> None:
        super().__init__(process, folder / "server.log", chosen_ports=(access.port,))
        self._folder = folder
        self._database = database
        self.url = f"http://{HOST}:{access.port}"
        self.auth_string = access.auth_string
        self.database_url = database.url(SUPERUSER)

    @classmethod
    def start(cls, folder: Path) -> PrefectServer:
        """Start a server that keeps its database, profiles, results and password in `folder`.

        It takes the port of its last start there, or a free one. It does not answer yet:
        `wait_until_ready` before it is used.
        """
        folder = folder.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        access = _access(folder / "access.json")
        database = on_free_ports(
            lambda: Postgres.start(
                folder / "postgres",
                password=access.database_password,
                log=folder / "postgres.log",
                bare=True,
            )
        )
        database_url = database.url(SUPERUSER).replace("postgresql://", "postgresql+asyncpg://", 1)
        try:
            process = children.spawn(
                [
                    *(sys.executable, "-m", "prefect", "server", "start"),
                    *("--host", HOST, "--port", str(access.port)),
                ],
                log=folder / "server.log",
                environment={
                    "PREFECT_HOME": str(folder),
                    "PREFECT_SERVER_DATABASE_CONNECTION_URL": database_url,
                    "PREFECT_SERVER_API_AUTH_STRING": access.auth_string,
                    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": _LEASES,
                    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
                    "PREFECT_UI_URL": f"http://{HOST}:{access.port}",  # for links in notifications
                    # Else the pages look for their API at port 4200.
                    "PREFECT_SERVER_UI_API_URL": f"http://{HOST}:{access.port}/api",
                    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
                    "DO_NOT_TRACK": "1",
                },
                own_session=True,
            )
        except BaseException:
            database.stop()
            raise
        return cls(process, folder, access, database)

    @property
    def has_ended(self) -> bool:
        """Whether it or its database is gone, for whatever reason."""
        return super().has_ended or self._database.has_ended

    def stop(self) -> None:
        """End it and then its database, and wait for their ends. The data stays."""
        try:
            super().stop()
        finally:
            self._database.stop()

    def wait_until_ready(self) -> Self:
        """Wait until the API answers, and return it; if that fails, stop it.

        Raises:
            PortTakenError: something else listens on its port. Start it again: it takes another.
            LocalStackError: it ended instead, or takes too long.
        """
        self._wait_until_it_answers(f"{self.url}/api/health")
        return self

    def environment(self) -> dict[str, str]:
        """The environment variables that make Prefect use this server."""
        return {
            "PREFECT_HOME": str(self._folder),
            "PREFECT_API_URL": f"{self.url}/api",
            "PREFECT_API_AUTH_STRING": self.auth_string,
            "DO_NOT_TRACK": "1",
        }


def _access(file: Path) -> _Access:
    """The passwords of the last start, and its port if that is free; else new ones."""
    try:
        last = msgspec.json.decode(file.read_bytes(), type=_Access)
    except (FileNotFoundError, msgspec.DecodeError):
        last = _Access(
            port=0,
            auth_string=f"prefect:{secrets.token_urlsafe(9)}",
            database_password=new_password(),
        )
    access = msgspec.structs.replace(last, port=free_port(last.port))
    write_record(access, file)
    return access
