"""Prefect for the flows that this process runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from prefect.context import refresh_global_settings_context
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import get_current_settings

from media_enricher.dev.prefect_server import PrefectServer
from supabase_local.ports import on_free_ports


@contextmanager
def prefect_here(folder: Path) -> Iterator[PrefectServer]:
    """Let the flows of this process, in whatever thread, use a server of their own.

    As `prefect_test_harness` does, but on Postgres: on SQLite, requests that overlap wait for each
    other, at worst for a minute.

    Args:
        folder: of the server's data and the flows' results.
    """
    with on_free_ports(lambda: PrefectServer.start(folder).wait_until_ready()) as server:
        with patch.dict(os.environ, server.environment()):
            refresh_global_settings_context()
        try:
            yield server
            APILogWorker.drain_all()
            EventsWorker.drain_all()
        finally:
            refresh_global_settings_context()


def prefect_environment() -> dict[str, str]:
    """This process's environment, with the Prefect server of its flows."""
    return os.environ | get_current_settings().to_environment_variables(exclude_unset=True)
