"""A direct connection to the project's Postgres, for commands that define something in it.

Everything else goes through the Data API.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg

_CONNECT_SECONDS = 15.0


class DatabaseUnreachableError(Exception):
    """The database can't be reached. The message says where it is, why, and what to do."""


@asynccontextmanager
async def connected(database_url: str, command: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """Connect, and disconnect at the end of the block.

    Args:
        database_url: of the direct connection or the session pooler (port 5432 on Supabase).
        command: what connects; the database shows it as the application's name.

    Raises:
        DatabaseUnreachableError: the URL is not valid, or the database does not let us in.
    """
    try:
        connection = await asyncpg.connect(
            database_url,
            timeout=_CONNECT_SECONDS,
            statement_cache_size=0,  # a pooler hands the next statement to another connection
            server_settings={"application_name": f"media-enricher {command}"},
        )
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError) as error:
        raise DatabaseUnreachableError(
            f"can't connect to the database at {_address(database_url)}: "
            f"{str(error) or type(error).__name__}. Check DATABASE_URL"
        ) from None
    try:
        yield connection
    finally:
        await connection.close()


def _address(database_url: str) -> str:
    """Where a URL points to, without its user and password."""
    try:
        parts = urlsplit(database_url)
        host, port = parts.hostname or "?", parts.port or 5432
    except ValueError:
        return "(an invalid URL)"
    return f"{host}:{port}{parts.path}"
