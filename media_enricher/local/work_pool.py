"""What a Prefect server needs to know before a run can start: work pool, queues, deployments.

The pool and its queues are made through Prefect's HTTP API, which takes milliseconds, and the
deployments of `prefect.yaml` by Prefect's own program. All of it may be done again at any time.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import tenacity

from media_enricher.local import children
from media_enricher.local.errors import LocalStackError

PREFECT_YAML = Path(__file__).parents[2] / "prefect.yaml"
POOL = "media-enricher"
QUEUE_PRIORITIES = {"objects": 1, "backfills": 2}
"""A new upload goes before whatever else waits."""

_DEPLOY_SECONDS = 120.0
_PATIENCE_SECONDS = 30.0


class _AwayError(LocalStackError):
    """Prefect does not answer just now."""


class WorkPool:
    """The work pool `media-enricher` on the Prefect server that an environment names.

    A context manager. Its methods raise LocalStackError if Prefect does not do what was asked.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Nothing is asked yet.

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def make(self) -> None:
        """Make the pool and its queues, unless they are there; the worker fills in its template."""
        self._create("/work_pools/", {"name": POOL, "type": "process"})
        for name, priority in QUEUE_PRIORITIES.items():
            self._create(f"/work_pools/{POOL}/queues", {"name": name, "priority": priority})

    def has_heard_of(self, worker: str, since: datetime) -> bool:
        """Whether a worker of that name has reported since then."""
        lately = {"workers": {"last_heartbeat_time": {"after_": since.isoformat()}}}
        reported = self._ask("POST", f"/work_pools/{POOL}/workers/filter", lately).json()
        return any(each["name"] == worker for each in reported)

    def _create(self, path: str, body: Mapping[str, Any]) -> None:
        self._ask("POST", path, body, httpx.codes.CONFLICT)

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(_AwayError),
        wait=tenacity.wait_fixed(0.5),
        stop=tenacity.stop_after_delay(_PATIENCE_SECONDS),
        reraise=True,
    )
    def _ask(
        self, method: str, path: str, body: Mapping[str, Any], *accepted: httpx.codes
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


class Deploying:
    """`prefect deploy --all` under way. Make it with `Deploying.start`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    @classmethod
    def start(cls, log: Path, environment: Mapping[str, str]) -> Deploying:
        """Start to make or update the deployments of `prefect.yaml`."""
        process = children.spawn(
            [
                *(sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"),
                *("--prefect-file", PREFECT_YAML),
            ],
            log=log,
            environment=environment,
            own_session=True,
        )
        return cls(process, log)

    def wait(self) -> None:
        """Wait until it is done.

        Raises:
            LocalStackError: it failed, or takes too long.
        """
        try:
            code = self._process.wait(_DEPLOY_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        if code != 0:
            raise LocalStackError(
                f"The deployments of {PREFECT_YAML} could not be made. The log: {self._log}"
            )

    def stop(self) -> None:
        """End it, if it is still under way."""
        children.stop(self._process)
