"""The Prefect API to set up: found, or its absence explained before anything is done."""

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
    """Nobody answers at the address, yet."""


@asynccontextmanager
async def prefect_api(wait_seconds: float) -> AsyncIterator[PrefectClient]:
    """A client of the API that `PREFECT_API_URL`, or Prefect's active profile, names.

    Args:
        wait_seconds: how long to wait for a server that does not answer yet.

    Raises:
        SetupError: none is named, it does not answer, or it wants other credentials.
    """
    url = PREFECT_API_URL.value()
    if not url:
        raise SetupError(
            "PREFECT_API_URL is not set, so there is no Prefect server to set up. Set it in the "
            "environment, in .env or with `prefect config set`, as http://127.0.0.1:4200/api; "
            "`prefect server start` starts one."
        )
    async for attempt in tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(_AwayError),
        wait=tenacity.wait_fixed(_LOOK_AGAIN_SECONDS),
        stop=tenacity.stop_after_delay(wait_seconds),
        reraise=True,
    ):
        with attempt:
            await _greet(url)
    async with get_client() as client:
        yield client


async def _greet(url: str) -> None:
    """Ask something that needs credentials, once: Prefect's client would try for a minute."""
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        async with get_client() as client:
            try:
                await client.api_version()
            except httpx.HTTPStatusError as error:
                raise _refused(url, error.response.status_code) from None
            except (TimeoutError, httpx.TransportError) as error:
                raise _AwayError(
                    f"Prefect at {url} does not answer ({error!r}). Start the server, or set "
                    "PREFECT_API_URL to where it runs."
                ) from None


def _refused(url: str, status: int) -> SetupError:
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return SetupError(
            f"Prefect at {url} wants credentials, and not those that are set. Set "
            "PREFECT_API_AUTH_STRING as the server has it (or PREFECT_API_KEY for Prefect Cloud)."
        )
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:  # as a server does that has just started
        return _AwayError(f"Prefect at {url} answers {status}. See the server's log.")
    return SetupError(
        f"{url} is no Prefect API: it answers {status}. PREFECT_API_URL ends in /api, as "
        "http://127.0.0.1:4200/api."
    )
