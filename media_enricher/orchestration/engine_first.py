"""`python -m media_enricher.orchestration.engine_first`: as `python -m prefect.engine`, but sooner.

The engine starts first, so that it is ready when the run's first object is: Prefect has a third of
a second of work before that. It starts with one worker, for many a run has one object or none; a
backfill has the others start as it begins.
"""

from __future__ import annotations

import runpy
import sys

from media_enricher.orchestration import resources
from media_enricher.settings import SettingsError, TaskRunnerName, settings


def main() -> None:
    """Start one engine worker, then have Prefect run the flow run that the environment names."""
    start_engine(first_workers=1)
    sys.modules.pop("prefect.engine", None)  # as in a new interpreter, where it is `__main__` alone
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


def start_engine(first_workers: int | None = None) -> None:
    """Start so many engine workers, or all, if this process has the engine."""
    try:
        if settings().task_runner is TaskRunnerName.THREADS:
            resources.engine().start(first_workers)
    except SettingsError:
        pass  # the flow meets it, too, and Prefect records it


if __name__ == "__main__":
    main()
