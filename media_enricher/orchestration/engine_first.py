"""`python -m media_enricher.orchestration.engine_first`: as `python -m prefect.engine`, but sooner.

The engine starts first, so that it is ready when the run's first object is: Prefect has a third of
a second of work before that. For flows that always read an object, and mostly only one.
"""

from __future__ import annotations

import runpy
import sys

from media_enricher.orchestration import resources
from media_enricher.settings import SettingsError, TaskRunnerName, settings


def main() -> None:
    """Start one engine worker, then have Prefect run the flow run that the environment names."""
    try:
        if settings().task_runner is TaskRunnerName.THREADS:
            resources.engine().start(first_workers=1)
    except SettingsError:
        pass  # the flow meets it, too, and Prefect records it
    sys.modules.pop("prefect.engine", None)  # as in a new interpreter, where it is `__main__` alone
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
