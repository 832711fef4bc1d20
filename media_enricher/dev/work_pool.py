"""The work pool: whether it exists, and which workers report to it.

It is read over HTTP, because importing Prefect takes seconds. `media-enricher setup` makes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx
import tenacity

from media_enricher.setup.resources import POOL
from supabase_local.errors import LocalStackError

_PATIENCE_SECONDS = 30.0


class _AwayError(LocalStackError):
    """Prefect does not answer at this moment."""


class WorkPool:
    """The work pool `media-enricher` on the Prefect server that an environment names.

    To be closed (`contextlib.closing`). Its methods raise LocalStackError if Prefect does not
    answer.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Sends no request yet.

        Args:
            environment: with `PREFECT_API_URL`, and `PREFECT_API_AUTH_STRING` or `PREFECT_API_KEY`
                where the server asks for one.
        """
        user, _, password = environment.get("PREFECT_API_AUTH_STRING", "").partition(":")
        key = environment.get("PREFECT_API_KEY")
        self._url = environment["PREFECT_API_URL"].rstrip("/")
        self._client = httpx.Client(
            auth=(user, password) if user else None,
            headers={"authorization": f"Bearer {key}"} if key else None,
            timeout=30,
        )

    def close(self) -> None:
        """Close the connections to Prefect."""
        self._client.close()

    def exists(self) -> bool:
        """Whether it exists."""
        answer = self._ask("GET", f"/work_pools/{POOL}", None, httpx.codes.NOT_FOUND)
        return answer.is_success

    def has_heard_of(self, worker: str, since: datetime) -> bool:
        """Whether a worker of that name has reported since then."""
        lately = {"workers": {"last_heartbeat_time": {"after_": since.isoformat()}}}
        reported = self._ask("POST", f"/work_pools/{POOL}/workers/filter", lately).json()
        return any(each["name"] == worker for each in reported)

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(_AwayError),
        wait=tenacity.wait_fixed(0.5),
        stop=tenacity.stop_after_delay(_PATIENCE_SECONDS),
        reraise=True,
    )
    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None, *accepted: httpx.codes
    ) -> httpx.Response:
        try:
            answer = self._client.request(method, f"{self._url}{path}", json=body)
        except httpx.TransportError as error:
            raise _AwayError(f"Prefect at {self._url} does not answer: {error!r}") from None
        if answer.is_success or answer.status_code in accepted:
            return answer
        problem = f"Prefect at {self._url} answers {answer.status_code} to {method} {path}"
        if answer.is_server_error:  # as a server that has just started does, its database locked
            raise _AwayError(f"{problem}. See the server's log.")
        raise LocalStackError(
            f"{problem}. Check PREFECT_API_URL, and PREFECT_API_AUTH_STRING or PREFECT_API_KEY."
        )
