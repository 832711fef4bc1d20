"""One Edge Function, run by Deno as the platform runs it: a folder with an `index.ts`."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from supabase_local import children
from supabase_local.errors import LocalStackError
from supabase_local.ports import HOST, free_port
from supabase_local.server_process import ServerProcess

_PACKAGE = Path(__file__).parent / "deno"


class EdgeFunction(ServerProcess):
    """A running function. Make it with `EdgeFunction.start`.

    It answers `/NAME/…`, as on a hosted project, where `/functions/v1` is taken off before.

    Attributes:
        url: its base, without the function's name.
        log: its output.
    """

    what = "The Edge Function"
    start_seconds = 60.0
    look_seconds = 0.02
    stop_seconds = 2.0

    def __init__(self, process: subprocess.Popen[bytes], log: Path, port: int) -> None:
        super().__init__(process, log, chosen_ports=(port,))
        self.url = f"http://{HOST}:{port}"
        self._port = port

    @classmethod
    def start(
        cls, folder: Path, log: Path, *, secrets: Mapping[str, str], cache: Path
    ) -> EdgeFunction:
        """Start a function, and wait until it accepts connections.

        Args:
            folder: of the function; `index.ts` calls `Deno.serve`. What it imports is beside it:
                nothing is downloaded.
            log: its output is appended here.
            secrets: as `supabase secrets set` stores them; added to this process's environment.
            cache: a folder for what Deno makes of the TypeScript.

        Raises:
            LocalStackError: Deno is not installed, or the function does not start.
        """
        port = free_port()
        process = children.spawn(
            [
                find_deno(),
                "run",
                *("--no-prompt", "--no-remote", "--no-npm", "--allow-net", "--allow-env"),
                folder / "index.ts",
            ],
            log=log,
            environment={
                **secrets,
                "DENO_DIR": str(cache),
                "DENO_NO_UPDATE_CHECK": "1",
                "DENO_SERVE_ADDRESS": f"tcp:{HOST}:{port}",
                "NO_COLOR": "1",
            },
            own_session=True,
        )
        function = cls(process, log, port)
        function._wait_until(function._accepts)
        return function

    def _accepts(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self._port), 1):
            return True
        return False


def find_deno() -> Path:
    """The program: the one on the PATH, else the one that npm put beside this module.

    Raises:
        LocalStackError: there is neither.
    """
    on_path = shutil.which("deno")
    if on_path:
        return Path(on_path)
    for candidate in sorted(_PACKAGE.glob("node_modules/@deno/*/deno")):
        if os.access(candidate, os.X_OK):
            return candidate
    raise LocalStackError(
        f"Deno, which runs Edge Functions, is not installed. Run `npm ci` in {_PACKAGE} "
        "(in the checkout: `make deno`), or put `deno` on the PATH."
    )
