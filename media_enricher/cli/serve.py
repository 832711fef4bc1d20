"""`media-enricher serve`: the HTTP gateway, with the admin page."""

from __future__ import annotations

import logging
import os
from typing import Annotated

import typer

from media_enricher.cli.console import BAD_INPUT, err_console, fail
from media_enricher.settings import SettingsError
from process_control.importing import importing
from process_control.signals import Interruption


def serve(
    host: Annotated[
        str, typer.Option(help="The address to listen on. 0.0.0.0: all addresses.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="The port to listen on.")] = 8090,
) -> None:
    """Serve the HTTP API that starts runs, and the admin page."""
    # Prefect's client would retry for minutes; the gateway has its own retries and deadlines.
    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "0")
    try:
        with Interruption():
            _serve(host, port)
    except KeyboardInterrupt:
        err_console.print("Stopped.")


def _serve(host: str, port: int) -> None:
    with importing():  # Prefect, which takes a second that no other command needs
        from media_enricher.gateway.app import create_app  # noqa: PLC0415
        from media_enricher.gateway.serving import serve as serve_app  # noqa: PLC0415
        from media_enricher.settings import gateway_settings  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        app = create_app()
    except SettingsError as error:
        fail(str(error), BAD_INPUT)
    err_console.print(f"Admin page: http://{host}:{port}/media-enricher/admin", highlight=False)
    serve_app(app, host, port, gateway_settings())
