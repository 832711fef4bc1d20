"""Start, find and stop a local stack: what tests, the demo and the command line use."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.request import Request, urlopen

import msgspec

from process_control import processes
from process_control.stoppable import Stoppable
from supabase_local import children
from supabase_local.announcement import Announcement
from supabase_local.errors import LocalStackError
from supabase_local.folder import Running, StackFolder
from supabase_local.keys import StackKeys, Users
from supabase_local.ports import HOST
from supabase_local.postgres import DATABASE

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0


class LocalStack(Stoppable):
    """A running stack: Postgres, PostgREST, Storage and Auth on one base URL.

    For demo, development and tests only: its data may be lost with the machine, and it trusts
    everyone who can reach this machine's loopback interface with a key.
    """

    def __init__(
        self, folder: StackFolder, running: Running, process: subprocess.Popen[bytes] | None
    ) -> None:
        self._folder = folder
        self._running = running
        self._process = process
        self._keys: StackKeys = folder.keys()

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        port: int = 0,
        detach: bool = False,
        functions_url: str | None = None,
        edge_functions_url: str | None = None,
        backend: Literal["file", "s3"] = "file",
    ) -> LocalStack:
        """Start a stack on a data folder, and wait until it answers.

        Args:
            folder: made if missing; a second start finds all data, keys and users again.
            port: of the base URL; 0 takes that of the last start, or a free one.
            detach: let the stack outlive this process; else it ends with it, however this one ends.
            functions_url: of the server that `/functions/v1` is passed on to, whole paths, as
                `http://127.0.0.1:8090`; it need not run yet. Without it there are no functions.
            edge_functions_url: instead of that, of a running `EdgeFunction`. It gets requests as
                on a hosted project: paths without `/functions/v1`, preflights too, and the caller's
                address in `cf-connecting-ip`.
            backend: where the real server would keep the bytes; a few answers differ.

        Raises:
            LocalStackError: the folder is in use, the port taken, or a server did not start.
        """
        paths = StackFolder(folder)
        paths.make()
        command = [sys.executable, "-m", "supabase_local.server", str(paths.root)]
        command += ["--port", str(port)]
        command += [] if detach else ["--parent", str(os.getpid())]
        command += ["--functions-url", functions_url] if functions_url else []
        command += ["--edge-functions-url", edge_functions_url] if edge_functions_url else []
        command += ["--backend", backend]
        log = paths.logs / "server.log"
        start = subprocess.Popen if detach else _spawn_ours
        with children.opened(log) as output:
            process = start(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,  # a Ctrl-C in the terminal is ours, and we stop the stack
            )
        try:
            running = _await_announcement(process, log)
        except BaseException:
            _stop_group(process.pid, lambda: process.poll() is None)
            raise
        return cls(paths, running, process)

    @classmethod
    def find(cls, folder: Path) -> LocalStack | None:
        """The stack that runs on a data folder, if one does."""
        paths = StackFolder(folder)
        running = paths.running()
        return cls(paths, running, None) if running else None

    @property
    def url(self) -> str:
        """The base URL: what `SUPABASE_URL` is set to."""
        return self._running.url

    @property
    def service_key(self) -> str:
        """`sb_secret_…`: bypasses row level security."""
        return self._keys.secret_key

    @property
    def anon_key(self) -> str:
        """`sb_publishable_…`: what a browser may hold."""
        return self._keys.publishable_key

    @property
    def service_role_jwt(self) -> str:
        """The legacy service_role key (HS256)."""
        return self._keys.service_role_jwt

    @property
    def anon_jwt(self) -> str:
        """The legacy anon key (HS256)."""
        return self._keys.anon_jwt

    @property
    def database_url(self) -> str:
        """`postgresql://…` as the role `postgres`, who is no superuser, as on a hosted project."""
        return (
            f"postgresql://postgres:{self._keys.database_password}"
            f"@{HOST}:{self._running.database_port}/{DATABASE}"
        )

    @property
    def users(self) -> Users:
        """The users that can sign in: `admin`, `ada` and `ben`, the latter of two tenants."""
        return self._keys.users

    @property
    def access_log(self) -> Path:
        """One line of JSON per Storage request since the start.

        Its keys: time (of the end, Unix seconds), method, path (decoded, without `/storage/v1`),
        status, bytes (of the body, as sent), range (as asked).
        """
        return self._folder.access_log

    @property
    def folder(self) -> Path:
        """Where the data is."""
        return self._folder.root

    @property
    def pid(self) -> int:
        """The process that started all others; also the id of their process group."""
        return self._running.pid

    @property
    def has_ended(self) -> bool:
        """Whether the stack is gone, for whatever reason."""
        return not self._is_alive()

    def environment(self) -> dict[str, str]:
        """The environment variables that make every client use this stack."""
        return {
            "SUPABASE_URL": self.url,
            "SUPABASE_SECRET_KEY": self.service_key,
            "SUPABASE_SERVICE_ROLE_KEY": self.service_role_jwt,
            "SUPABASE_PUBLISHABLE_KEY": self.anon_key,
            "SUPABASE_ANON_KEY": self.anon_jwt,
            "SUPABASE_JWT_SECRET": self._keys.jwt_secret,
            "DATABASE_URL": self.database_url,
        }

    @contextlib.contextmanager
    def without_rest(self) -> Iterator[None]:
        """Stop PostgREST while the block runs: `/rest/v1` answers 503."""
        self._control("postgrest/stop")
        try:
            yield
        finally:
            self._control("postgrest/start")

    def stop(self) -> None:
        """Stop every process of the stack, and wait for their end. The data stays."""
        _stop_group(self.pid, self._is_alive)

    def __repr__(self) -> str:
        return f"LocalStack(url={self.url!r}, folder={str(self.folder)!r})"

    def _is_alive(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        return self._folder.is_held()

    def _control(self, command: str) -> None:
        request = Request(  # noqa: S310 - our own loopback URL
            f"{self.url}/local/v1/{command}",
            method="POST",
            headers={"apikey": self.service_key},
        )
        with urlopen(request, timeout=30):  # noqa: S310
            pass


def _await_announcement(process: subprocess.Popen[bytes], log: Path) -> Running:
    if process.stdout is None:
        raise AssertionError("started with a pipe")
    with process.stdout as output:
        is_there, _, _ = select.select([output], [], [], _START_SECONDS)
        line = output.readline() if is_there else b""
    if not is_there:
        raise LocalStackError(
            f"The local stack did not start in {_START_SECONDS:.0f} s. Its log: {log}"
        )
    if line:
        announcement = msgspec.json.decode(line, type=Announcement)
        if announcement.running is not None:
            return announcement.running
        if announcement.error:
            raise LocalStackError(announcement.error)
    raise LocalStackError(f"The local stack did not start{children.reason(log)}. Its log: {log}")


def _spawn_ours(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start the leader of a stack that ends with this process."""
    return processes.spawn(command, on_parent_death=signal.SIGTERM, **options)


def _stop_group(leader: int, is_alive: Callable[[], bool]) -> None:
    """Stop the stack's processes: the leader stops the others; if it does not, all are killed."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(leader, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while is_alive():
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(leader, signal.SIGKILL)
            deadline = float("inf")
        time.sleep(0.02)
