"""The whole system on one machine: Supabase, a Prefect server, a worker and the gateway.

`media-enricher up`, the browser tests and the benchmark of the gateway start it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from media_enricher import migrations
from media_enricher.dev.edge_function import SECRET, edge_function_secrets, start_edge_function
from media_enricher.dev.gateway_process import GatewayProcess
from media_enricher.dev.prefect_server import PrefectServer
from media_enricher.dev.preloader_process import PreloaderProcess
from media_enricher.dev.setup_process import SetupProcess
from media_enricher.dev.work_pool import WorkPool
from media_enricher.dev.worker import Worker, environment_of_runs
from process_control.stoppable import Stoppable
from supabase_local import children
from supabase_local.edge_function import EdgeFunction
from supabase_local.errors import LocalStackError
from supabase_local.locks import FolderLock, HeldError
from supabase_local.ports import HOST, free_port, is_free
from supabase_local.stack import LocalStack

GATEWAY_PORT = 8090
"""The gateway's port, unless another was requested or used before, or it is taken."""


class Ended(NamedTuple):
    """A server that ended by itself, and where it says why."""

    what: str
    log: Path

    @property
    def reason(self) -> str:
        """Its last output, as the end of a sentence."""
        return children.reason(self.log)


class DevEnvironment(Stoppable):
    """All of it, running. Make it with `DevEnvironment.start`; the end of its block stops it.

    Attributes:
        folder: where the data, the keys and the logs are.
        gateway_url: base of the gateway; the admin page is at `/media-enricher/admin`.
        stack: the local Supabase, or None where another project is used.
        edge_function: what answers under the stack's `/functions/v1` instead of the gateway itself,
            if it was requested.
        prefect_url: of Prefect's user interface.
        auth_string: `user:password` for Prefect; None where another server is used.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is started yet."""
        self.folder = folder.absolute()
        self.gateway_url = ""
        self.stack: LocalStack | None = None
        self.edge_function: EdgeFunction | None = None
        self.prefect_url = ""
        self.auth_string: str | None = None
        self._environment: dict[str, str] = {}
        self._gateway: GatewayProcess | None = None
        self._preloader: PreloaderProcess | None = None
        self._worker: Worker | None = None
        self._prefect: PrefectServer | None = None
        self._cleanup = contextlib.ExitStack()

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        port: int | None = None,
        supabase: Mapping[str, str] | None = None,
        prefect: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        edge_function: bool = False,
        prepare: Callable[[LocalStack], None] | None = None,
    ) -> DevEnvironment:
        """Start everything side by side, and wait until a run can be requested and will start.

        Call it from the main thread. A second start on the same folder finds all data, keys,
        passwords and, where they are free, ports again.

        Args:
            folder: made if missing.
            port: of the gateway; None takes that of the last start, 8090, or a free one.
            supabase: the environment variables that name an existing project, which is then used
                as it is; None for a local stack, which is migrated.
            prefect: the environment variables that name an existing Prefect server; None for one
                of our own.
            settings: further environment variables for the gateway, the worker and its runs.
            edge_function: run the Edge Function under `/functions/v1` of the local stack, in front
                of the gateway; else the gateway answers there itself.
            prepare: called with the migrated stack, while the other servers are still starting.

        Raises:
            LocalStackError: the folder is in use, the port taken, or a server did not start.
            MigrationError: the local stack's database cannot be migrated.
        """
        environment = cls(folder)
        try:
            environment._start(
                port, supabase, prefect, dict(settings or {}), prepare, edge_function=edge_function
            )
        except BaseException:
            environment.stop()
            raise
        return environment

    def environment(self) -> dict[str, str]:
        """The environment variables that make every client use this Supabase and this Prefect."""
        return dict(self._environment)

    @property
    def logs(self) -> Path:
        """The folder of the logs of the set-up, the worker and the gateway."""
        return self.folder / "logs"

    def ended(self) -> Ended | None:
        """A server that has ended by itself, if one has."""
        if self.stack and self.stack.has_ended:
            return Ended("the local Supabase", self.stack.folder / "logs" / "server.log")
        servers = {
            "the Prefect server": self._prefect,
            "the preloader of runs": self._preloader,
            "the Prefect worker": self._worker,
            "the gateway": self._gateway,
            "the Edge Function": self.edge_function,
        }
        for what, server in servers.items():
            if server and server.has_ended:
                return Ended(what, server.log)
        return None

    def stop(self) -> None:
        """Stop everything, each server before those that it uses. The data stays."""
        self._cleanup.close()

    def _start(
        self,
        port: int | None,
        supabase: Mapping[str, str] | None,
        prefect: Mapping[str, str] | None,
        settings: dict[str, str],
        prepare: Callable[[LocalStack], None] | None,
        *,
        edge_function: bool,
    ) -> None:
        self._hold_folder()
        gateway_port = self._gateway_port(port)
        if prefect is None:
            prefect = self._start_prefect()
        else:
            self.prefect_url = prefect["PREFECT_API_URL"].rstrip("/").removesuffix("/api")
        if supabase is None:
            gateway_url = f"http://{HOST}:{gateway_port}"
            if edge_function:
                self._start_edge_function(gateway_url, settings)
            supabase = self._start_stack(gateway_url)
        self._environment = {**settings, **supabase, **prefect}

        setup = self._start_setup()
        if self.stack:
            migrations.apply(self.stack.database_url)
        gateway = self._cleanup.enter_context(
            GatewayProcess.start(gateway_port, self.logs / "gateway.log", self._environment)
        )
        self._gateway, self.gateway_url = gateway, gateway.url
        if prepare and self.stack:
            prepare(self.stack)
        if self._prefect:
            self._prefect.wait_until_ready()
        self._start_worker(setup)
        gateway.wait_until_ready()

    def _hold_folder(self) -> None:
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            self._cleanup.enter_context(FolderLock(self.folder / "lock").held())
        except (FileExistsError, NotADirectoryError):
            raise LocalStackError(f"{self.folder} is not a folder. Name another one.") from None
        except PermissionError:
            raise LocalStackError(
                f"No permission to write to {self.folder}. Name another folder."
            ) from None
        except HeldError:
            raise LocalStackError(
                f"`media-enricher up` is running in {self.folder} already. Use that one, stop it, "
                "or name another folder with --folder."
            ) from None

    def _gateway_port(self, requested: int | None) -> int:
        """The requested port if it is free; else that of the last start, the usual one, or any."""
        if requested and not is_free(requested):
            raise LocalStackError(
                f"Port {requested} is taken. Name another one with --port, or none for a free one."
            )
        remembered = self.folder / "gateway-port"
        last = int(remembered.read_text()) if remembered.is_file() else GATEWAY_PORT
        port = requested or (last if is_free(last) else free_port(GATEWAY_PORT))
        remembered.write_text(str(port))
        return port

    def _start_prefect(self) -> dict[str, str]:
        self._prefect = self._cleanup.enter_context(PrefectServer.start(self.folder / "prefect"))
        self.prefect_url, self.auth_string = self._prefect.url, self._prefect.auth_string
        return self._prefect.environment()

    def _start_edge_function(self, gateway_url: str, settings: dict[str, str]) -> None:
        """Start it, and add to the settings the secret by which the gateway trusts it."""
        secrets = edge_function_secrets(gateway_url, {**os.environ, **settings})
        settings[SECRET] = secrets[SECRET]
        self.edge_function = self._cleanup.enter_context(
            start_edge_function(self.folder / "deno", self.logs / "edge-function.log", secrets)
        )

    def _start_stack(self, gateway_url: str) -> dict[str, str]:
        function = self.edge_function
        stack = LocalStack.start(
            self.folder / "stack",
            functions_url=None if function else gateway_url,
            edge_functions_url=function.url if function else None,
        )
        self.stack = self._cleanup.enter_context(stack)
        return stack.environment()

    def _start_setup(self) -> SetupProcess:
        """Start it early: it imports Prefect, which takes seconds, while the others start."""
        setup = SetupProcess.start(
            self.logs / "setup.log",
            self._environment,
            wait_seconds=PrefectServer.start_seconds if self._prefect else 0,
        )
        return self._cleanup.enter_context(setup)

    def _start_worker(self, setup: SetupProcess) -> None:
        """Start it while the deployments are made: both spend seconds on importing Prefect."""
        with contextlib.closing(WorkPool(self._environment)) as pool:
            setup.wait_for_pool(pool)
            environment = environment_of_runs(self._environment)
            preloader = PreloaderProcess.start(self.logs / "preloader.log", environment)
            self._preloader = self._cleanup.enter_context(preloader)
            environment |= preloader.environment()
            self._worker = self._cleanup.enter_context(
                Worker.start(self.logs / "worker.log", environment)
            )
            setup.wait()
            self._worker.wait_until_ready(pool)
