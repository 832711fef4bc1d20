"""The heartbeat of a run under way, which distinguishes a slow run from a dead one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from prefect import get_run_logger

from media_enricher.models import RunStatus
from media_enricher.orchestration import resources
from media_enricher.settings import settings
from media_enricher.supabase.errors import SupabaseError


@contextmanager
def heartbeat(run_id: str) -> Iterator[None]:
    """Update `heartbeat_at` of the run every `MEDIA_ENRICHER_HEARTBEAT_SECONDS`.

    A failed update is logged and tried again at the next beat. It does not end the run, whose own
    writes fail if Supabase stays away.
    """
    logger = get_run_logger()
    left = threading.Event()

    def beat() -> None:
        while not left.wait(settings().heartbeat_seconds):
            try:
                resources.run_table().record(
                    run_id, status=RunStatus.RUNNING, heartbeat_at=datetime.now(UTC)
                )
            except SupabaseError as error:
                logger.warning("could not record the heartbeat: %s", error)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()
