"""The session's site, as an operator sees it: Prefect's API, our command, the rows of runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from media_enricher.dev.environment import DevEnvironment
from supabase_local import LocalStack
from tests.prefect_api import PrefectApi
from tests.waiting import PATIENCE_SECONDS, wait_for


class Operator:
    """Somebody at a terminal in the checkout, with the site's environment."""

    def __init__(self, site: DevEnvironment, stack: LocalStack) -> None:
        self._environment = dict(os.environ) | site.environment() | {"COLUMNS": "200"}
        self._stack = stack

    def run(self, program: str, *arguments: str, **environment: str) -> str:
        """Run a program of ours or of Prefect's that must succeed; what it printed."""
        code, said = self.try_to_run(program, *arguments, **environment)
        assert code == 0, said
        return said

    def try_to_run(self, program: str, *arguments: str, **environment: str) -> tuple[int, str]:
        """Run a program; its exit code, and what it printed."""
        done = subprocess.run(
            [str(Path(sys.executable).with_name(program)), *arguments],
            env=self._environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Rows of runs, by a query of PostgREST's."""
        answer = httpx.get(
            f"{self._stack.url}/rest/v1/media_enrich_runs?{query}",
            headers={"apikey": self._stack.service_key},
        )
        rows: list[dict[str, Any]] = answer.raise_for_status().json()
        return rows

    def row(self, run_id: str) -> dict[str, Any]:
        """The row of a run."""
        (row,) = self.rows(f"id=eq.{run_id}")
        return row

    def wait_for_row(self, query: str, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Wait until there is a row that the query finds."""
        otherwise = f"there is no row of a run with {query}"
        return wait_for(lambda: self.rows(query), otherwise, seconds=seconds, every=0.2)[0]


@pytest.fixture(scope="session")
def operator(site: DevEnvironment, site_stack: LocalStack) -> Operator:
    return Operator(site, site_stack)


@pytest.fixture(scope="session")
def prefect(site: DevEnvironment) -> PrefectApi:
    """The site's Prefect."""
    assert site.auth_string
    return PrefectApi(site.prefect_url, site.auth_string)
