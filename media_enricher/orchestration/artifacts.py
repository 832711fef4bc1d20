"""What a run shows in the Prefect UI: a progress bar, texts and tables.

All of it is in Supabase's tables as well. So a run does not fail because Prefect's server did not
take an artifact, as when its database is locked for long: a warning in its log says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.exceptions import PrefectException


def show_text(key: str, text: str, *, description: str) -> None:
    """Show a text.

    Args:
        key: of the artifact: the same in all runs, of which Prefect's UI then shows the latest.
        text: in Markdown.
        description: what it is, for the list of artifacts.
    """
    with _best_effort(description):
        create_markdown_artifact(key=key, description=description, markdown=text)


def show_table(key: str, rows: list[dict[str, Any]], *, description: str) -> None:
    """Show a table; each of its rows maps the columns to their values.

    Args:
        key: of the artifact: the same in all runs, of which Prefect's UI then shows the latest.
        rows: of the table.
        description: what it is, for the list of artifacts.
    """
    with _best_effort(description):
        create_table_artifact(key=key, description=description, table=rows)


class ProgressBar:
    """A bar that grows to the right: each update is a request to Prefect."""

    def __init__(self) -> None:
        """Show nothing yet: the first update does."""
        self._artifact: UUID | None = None

    def update(self, percent: float, description: str) -> None:
        """Show how far it is, from 0 to 100, and what is to be read beside it."""
        with _best_effort("Progress"):
            if self._artifact is None or not _is_updated(self._artifact, percent, description):
                # Prefect's functions are typed for async callers too; here they have returned.
                created = create_progress_artifact(progress=percent, description=description)
                self._artifact = cast("UUID", created)


def _is_updated(bar: UUID, percent: float, description: str) -> bool:
    """Update a bar, unless someone has deleted it."""
    try:
        update_progress_artifact(bar, progress=percent, description=description)
    except httpx.HTTPStatusError as error:
        if error.response.status_code == httpx.codes.NOT_FOUND:
            return False
        raise
    return True


@contextmanager
def _best_effort(what: str) -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, PrefectException) as error:
        get_run_logger().warning(
            "Prefect's server did not take an artifact, so it is not shown here (%s). "
            "The run goes on. The server said: %s",
            what,
            error,
        )
