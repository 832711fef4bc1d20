"""Connect to the Prefect API, or explain why that is not possible, before anything is changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import tenacity
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from media_enricher.setup.resources import SetupError

_LOOK_AGAIN_SECONDS = 0.1


class _AwayError(SetupError):
    """The server does not respond yet."""


@asynccontextmanager
async def prefect_api(wait_seconds: float) -> AsyncIterator[PrefectClient]:
    """A client of the API at `PREFECT_API_URL`, or in Prefect's active profile.

    Args:
        wait_seconds: how long to wait for a server that does not respond yet.

    Raises:
        SetupError: no URL is set, the server does not respond, or it rejects the credentials.
    """
    url = PREFECT_API_URL.value()
    if not url:
        raise SetupError(
            "PREFECT_API_URL is not set, so there is no Prefect server to set up. Start one with "
            "`prefect server start`, and set PREFECT_API_URL in the environment, in .env or with "
            "`prefect config set`, for example to http://127.0.0.1:4200/api."
        )
    async for attempt in tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(_AwayError),
        wait=tenacity.wait_fixed(_LOOK_AGAIN_SECONDS),
        stop=tenacity.stop_after_delay(wait_seconds),
        reraise=True,
    ):
        with attempt:
            await _probe(url)
    async with get_client() as client:
        yield client


async def _probe(url: str) -> None:
    """Send one request that needs credentials, without retries, which would take a minute."""
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        async with get_client() as client:
            try:
                await client.api_version()
            except httpx.HTTPStatusError as error:
                raise _refused(url, error.response.status_code) from None
            except (TimeoutError, httpx.TransportError) as error:
                raise _AwayError(
                    f"Prefect at {url} does not respond ({error!r}). Start the server, or set "
                    "PREFECT_API_URL to its address."
                ) from None


def _refused(url: str, status: int) -> SetupError:
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return SetupError(
            f"Prefect at {url} rejected the credentials (status {status}). Set "
            "PREFECT_API_AUTH_STRING to the value that the server has, or PREFECT_API_KEY for "
            "Prefect Cloud."
        )
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:  # also while a server is starting
        return _AwayError(f"Prefect at {url} returned status {status}. See the server's log.")
    return SetupError(
        f"{url} is not a Prefect API (status {status}). Set PREFECT_API_URL to an address that "
        "ends in /api, for example http://127.0.0.1:4200/api."
    )
