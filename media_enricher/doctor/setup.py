"""The set-up to check, and plain HTTP requests to its servers.

The doctor sends HTTP requests itself instead of using the clients of runs: it needs the server's
first response, without retries, and its exact words.
"""

from __future__ import annotations

from functools import cached_property
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import msgspec

from media_enricher.settings import Settings, SupabaseSettings, settings, supabase_settings

ANSWER_SECONDS = 10.0


class Trouble(Exception):  # noqa: N818  (a finding, not an error of the doctor)
    """Something is wrong with the set-up.

    Attributes:
        problem: what was found, in words; never a key.
        remedy: what to do about it.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


class Answer(msgspec.Struct, frozen=True):
    """A server's response. Supabase's services put the true status of an error into the body.

    Attributes:
        status: the status in the body if there is one, because Storage's HTTP status is often 400.
        code: the error code of PostgREST, Postgres or Storage; empty if there is none.
        message: the error message; empty if there is none.
        body: decoded JSON; None if it was not JSON.
    """

    status: int
    code: str
    message: str
    body: Any

    @property
    def is_ok(self) -> bool:
        """Whether the request succeeded."""
        return self.status < 300


class Setup:
    """The settings, and the bucket to check, if one was given."""

    def __init__(self, bucket: str | None = None) -> None:
        self.bucket = bucket
        self.http = httpx.Client(timeout=ANSWER_SECONDS, follow_redirects=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.http.close()

    @cached_property
    def supabase(self) -> SupabaseSettings:
        """The URL and the keys of the project.

        Raises:
            SettingsError: a value is missing or invalid.
        """
        return supabase_settings()

    @cached_property
    def settings(self) -> Settings:
        """The settings of runs.

        Raises:
            SettingsError: a value is invalid.
        """
        return settings()

    @property
    def service_key(self) -> str:
        """The key that runs use."""
        return self.supabase.service_key.get_secret_value()

    @property
    def anon_key(self) -> str | None:
        """The key that browsers use; None if it is not set."""
        key = self.supabase.anon_key
        return key.get_secret_value() if key else None

    def ask(self, method: str, path: str, *, key: str | None = None, **request: Any) -> Answer:
        """Send one request to the Supabase project.

        Args:
            method: the HTTP method.
            path: the path after the project's URL, such as `/rest/v1/media_assets`.
            key: the API key to send.
            request: further arguments of `httpx.Client.request`.

        Raises:
            Trouble: there was no response.
        """
        headers = {"apikey": key, "Authorization": f"Bearer {key}"} if key else {}
        url = f"{self.supabase.url}{path}"
        return self.ask_anyone(method, url, headers=headers, **request)

    def ask_anyone(self, method: str, url: str, **request: Any) -> Answer:
        """Send one request to any server.

        Raises:
            Trouble: there was no response.
        """
        host = urlsplit(url).netloc.rpartition("@")[2]  # without a password
        try:
            response = self.http.request(method, url, **request)
        except httpx.TimeoutException:
            raise Trouble(
                f"{host} did not respond within {ANSWER_SECONDS:.0f} s",
                "Check that it is running, and that no firewall blocks it",
            ) from None
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise Trouble(
                f"no connection to {host}: {error}", "Check the address, and that it is running"
            ) from None
        return _answer(response)


def _answer(response: httpx.Response) -> Answer:
    try:
        body = response.json()
    except ValueError:
        return Answer(response.status_code, "", response.text[:200], None)
    if not isinstance(body, dict) or response.is_success:
        return Answer(response.status_code, "", "", body)
    stated = str(body.get("statusCode", ""))
    return Answer(
        status=int(stated) if stated.isdigit() else response.status_code,
        code=str(body.get("code") or body.get("error") or ""),
        message=str(body.get("message") or body.get("msg") or ""),
        body=body,
    )
