"""The stack's process: it starts Postgres and PostgREST, serves HTTP, and stops both at its end.

`LocalStack` starts it as `python -m supabase_local.server`. Its standard output is one line
of JSON, once the stack is ready or cannot be; the rest goes to standard error, which is a log.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import asyncpg
import msgspec
import uvicorn
import uvloop

from process_control.signals import Interruption
from supabase_local import auth
from supabase_local.announcement import Announcement
from supabase_local.api_gateway import ApiGateway
from supabase_local.control import Control
from supabase_local.errors import LocalStackError
from supabase_local.folder import Running, StackFolder
from supabase_local.keys import StackKeys
from supabase_local.ports import HOST, on_free_ports
from supabase_local.postgres import Postgres
from supabase_local.postgrest import PostgREST
from supabase_local.proxy import Proxy
from supabase_local.storage.app import AccessLog, StorageApp
from supabase_local.storage.blobs import Backend, BlobStore
from supabase_local.storage.database import Database
from supabase_local.storage.service import Storage
from supabase_local.storage.signing import UrlSigner
from supabase_local.storage.writes import ObjectWriter
from supabase_local.tokens import TokenVerifier

_SUPERVISION_SECONDS = 0.25
_FUNCTIONS = "/functions/v1"
_log = logging.getLogger("supabase_local")


def main() -> None:
    """Run a stack until it is told to stop, its parent ends, or one of its servers does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--parent", type=int, help="stop when this process is gone")
    functions = parser.add_mutually_exclusive_group()
    functions.add_argument("--functions-url", help="where /functions/v1 is passed on to")
    functions.add_argument("--edge-functions-url", help="the same, as a hosted project does it")
    parser.add_argument("--backend", type=Backend, default=Backend.FILE)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    try:
        with Interruption() as stop:
            folder = StackFolder(arguments.folder)
            folder.make()
            with folder.held():
                _run(
                    folder,
                    arguments.port,
                    arguments.parent,
                    _functions(arguments),
                    arguments.backend,
                    stop,
                )
    except KeyboardInterrupt:
        return
    except LocalStackError as error:
        _announce(Announcement(error=str(error)))
        sys.exit(1)


class FunctionsServer(NamedTuple):
    """The server that `/functions/v1` is passed on to."""

    url: str
    is_edge: bool

    def proxy(self) -> Proxy:
        """What passes requests on; to Edge Functions as a hosted project does."""
        return Proxy(
            lambda: self.url,
            strip=_FUNCTIONS if self.is_edge else "",
            keep_host=True,
            caller_header=b"cf-connecting-ip" if self.is_edge else None,
            away=f"the server of the functions at {self.url} does not answer",
        )


def _functions(arguments: argparse.Namespace) -> FunctionsServer | None:
    if arguments.edge_functions_url:
        return FunctionsServer(arguments.edge_functions_url, is_edge=True)
    if arguments.functions_url:
        return FunctionsServer(arguments.functions_url, is_edge=False)
    return None


def _run(
    folder: StackFolder,
    port: int,
    parent: int | None,
    functions: FunctionsServer | None,
    backend: Backend,
    stop: Interruption,
) -> None:
    keys = folder.keys()
    with contextlib.ExitStack() as cleanup:
        listener = cleanup.enter_context(_listen(port, folder.last_ports().http))
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        postgres = on_free_ports(
            lambda: Postgres.start(
                folder.postgres,
                password=keys.database_password,
                log=folder.logs / "postgres.log",
                preferred_port=folder.last_ports().database,
            )
        )
        cleanup.callback(postgres.stop)
        folder.jwks.touch(mode=0o600)
        folder.jwks.write_text(keys.postgrest_jwks())

        def start_postgrest() -> PostgREST:
            return PostgREST.start(
                database_url=postgres.url("authenticator"),
                jwks=folder.jwks,
                log=folder.logs / "postgrest.log",
                public_url=f"{url}/rest/v1",
            )

        control = Control(lambda: on_free_ports(start_postgrest), keys)
        cleanup.callback(control.stop_postgrest)
        running = Running(pid=os.getpid(), url=url, database_port=postgres.port)
        blobs = BlobStore(folder.blobs, backend)
        uvloop.run(
            _serve(
                folder,
                keys,
                running,
                listener,
                postgres,
                control,
                blobs,
                parent,
                functions,
                stop,
            )
        )


async def _serve(
    folder: StackFolder,
    keys: StackKeys,
    running: Running,
    listener: socket.socket,
    postgres: Postgres,
    control: Control,
    blobs: BlobStore,
    parent: int | None,
    functions: FunctionsServer | None,
    stop: Interruption,
) -> None:
    stop.hear()  # an exception might be lost in the loop; from here on it is looked whether it came
    async with contextlib.AsyncExitStack() as cleanup:
        pool = await asyncpg.create_pool(postgres.url("supabase_auth_admin"), min_size=1)
        cleanup.callback(pool.terminate)
        await auth.seed_users(pool, keys.users)
        database = await Database.connect(postgres.url("supabase_storage_admin"))
        cleanup.push_async_callback(database.close)
        storage = Storage(
            database=database,
            blobs=blobs,
            writer=ObjectWriter(database, blobs),
            signer=UrlSigner(keys.url_secret),
            verifier=TokenVerifier(keys),
        )
        access_log = AccessLog(folder.access_log)
        cleanup.callback(access_log.close)
        rest = Proxy(
            control.postgrest_url,
            strip="/rest/v1",
            away="name resolution failed: PostgREST does not answer",
        )
        cleanup.push_async_callback(rest.close)
        services = {
            "/rest/v1": rest,
            "/storage/v1": StorageApp(storage, access_log),
            "/auth/v1": auth.Auth(pool, keys, running.url).app(),
            "/local/v1": control,
        }
        if functions:
            proxy = functions.proxy()
            cleanup.push_async_callback(proxy.close)
            services[_FUNCTIONS] = proxy
        own_cors = {_FUNCTIONS} if functions and functions.is_edge else set()
        api_gateway = ApiGateway(services, keys, own_cors=own_cors)
        server = _Server(
            uvicorn.Config(
                api_gateway,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=60,
                timeout_graceful_shutdown=1,
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await server.ready.wait()
        folder.write_running(running)
        if not _announce(Announcement(running=running)):
            server.ask_to_stop()
        while not serving.done():
            await asyncio.wait({serving}, timeout=_SUPERVISION_SECONDS)
            if stop.is_asked:
                server.ask_to_stop()
            reason = _reason_to_stop(postgres, control, parent)
            if reason and not server.should_exit:
                _log.warning("stopping: %s", reason)
                server.ask_to_stop()
        await serving


class _Server(uvicorn.Server):
    """uvicorn, told to stop by us alone: it would re-raise a signal before we have cleaned up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    def ask_to_stop(self) -> None:
        self.should_exit = True


def _reason_to_stop(postgres: Postgres, control: Control, parent: int | None) -> str | None:
    if parent is not None and os.getppid() != parent:
        return "the process that started the stack is gone"
    if postgres.has_ended:
        return "Postgres ended by itself; see postgres.log"
    if control.postgrest_has_ended:
        return "PostgREST ended by itself; see postgrest.log"
    return None


@contextlib.contextmanager
def _listen(port: int, last_port: int | None) -> Iterator[socket.socket]:
    """A listening socket: on the port asked for, else on that of the last start, else on any."""
    for candidate in (port,) if port else (last_port or 0, 0):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, candidate))
        except OSError as taken:
            listener.close()
            if port:
                raise LocalStackError(
                    f"Port {port} cannot be used ({taken.strerror}). Name another one with "
                    "--port, or none for a free one."
                ) from None
            continue
        with listener:
            listener.listen(1024)
            yield listener
        return


def _announce(announcement: Announcement) -> bool:
    """Write the line to standard output. False if nobody reads it any more."""
    try:
        sys.stdout.buffer.write(msgspec.json.encode(announcement) + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        return False
    return True


if __name__ == "__main__":
    main()
