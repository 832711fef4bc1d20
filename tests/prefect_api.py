"""Prefect's API as its user interface asks it: over HTTP, without a client that thinks along."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx

from tests.waiting import PATIENCE_SECONDS, wait_for


class PrefectApi:
    """The API of a server that asks for a password."""

    def __init__(self, url: str, auth_string: str) -> None:
        """Nothing is asked yet.

        Args:
            url: of the user interface; the API is below it.
            auth_string: `user:password`.
        """
        self._url = f"{url}/api"
        user, _, password = auth_string.partition(":")
        self._http = httpx.Client(auth=(user, password), timeout=PATIENCE_SECONDS)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's body, of an answer that says that all is well."""
        answer = self._http.request(method, f"{self._url}{path}", json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment, by its full name."""
        found: dict[str, Any] = self.ask("GET", f"/deployments/name/{name}")
        return found

    def start_run(self, deployment: str, **parameters: object) -> str:
        """Start a run of a deployment, as "Custom run" does; its id."""
        found = self.deployment(deployment)
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        run = self.ask("POST", f"/deployments/{found['id']}/create_flow_run", body)
        return str(run["id"])

    def set_state(self, run_id: str, **state: object) -> dict[str, Any]:
        """Ask for a state; what the server made of that."""
        result: dict[str, Any] = self.ask(
            "POST", f"/flow_runs/{run_id}/set_state", {"state": state, "force": False}
        )
        return result

    def state_of(self, run_id: str) -> dict[str, Any]:
        state: dict[str, Any] = self.ask("GET", f"/flow_runs/{run_id}")["state"]
        return state

    def runs_of(self, deployment: str, **where: object) -> list[dict[str, Any]]:
        """The runs of a deployment, those that will start last first."""
        narrowed = {"deployment_id": {"any_": [self.deployment(deployment)["id"]]}} | where
        found: list[dict[str, Any]] = self.ask(
            "POST", "/flow_runs/filter", {"flow_runs": narrowed, "sort": "EXPECTED_START_TIME_DESC"}
        )
        return found

    def emit(
        self,
        event: str,
        resource: dict[str, str],
        payload: Mapping[str, object] | None = None,
        related: Sequence[dict[str, str]] = (),
    ) -> None:
        """Emit an event, as `prefect event emit` does."""
        told = {
            "id": str(uuid4()),
            "occurred": datetime.now(UTC).isoformat(),
            "event": event,
            "resource": resource,
            "related": list(related),
            "payload": dict(payload or {}),
        }
        self.ask("POST", "/events", [told])

    def wait_for_state(self, run_id: str, *wanted: str, seconds: float = PATIENCE_SECONDS) -> float:
        """Wait until a run is in a state of one of these types or names; how long that took."""
        started = time.monotonic()

        def has_one() -> bool:
            state = self.state_of(run_id)
            return not {state["type"], state["name"]}.isdisjoint(wanted)

        wait_for(
            has_one,
            lambda: f"not {' or '.join(wanted)} but {self.state_of(run_id)}",
            seconds=seconds,
            every=0.2,  # each look is work for the server that is to come to that state
        )
        return time.monotonic() - started
