"""`python -m media_enricher.orchestration.run_preloader SOCKET`: it imports what runs import.

A worker whose environment names the socket (`PRELOADER_SOCKET`) has its runs forked from this
process, where deployments have the command `python -m process_control.preloaded prefect.engine`.
It has to be started with the same environment as the worker.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

from prefect.settings import get_current_settings

from process_control import preloader
from process_control.importing import importing

MODULES = (
    "prefect.flow_engine",
    "flows.backfill",
    "flows.backfill_sharded",
    "flows.enrich_object",
    "flows.process_queue",
    "flows.repair_types",
    "flows.sweep",
)
"""What is imported for all runs. Anything else is imported by each run that needs it."""
OF_ONE_RUN = "PREFECT__"
"""How the environment variables start that Prefect gives to one run."""


def main(socket: Path) -> None:
    """Import all of it, and have runs forked until SIGTERM."""
    with importing():
        for module in MODULES:
            importlib.import_module(module)
    # As the worker does for its runs: what a profile or a file sets becomes a variable.
    os.environ.update(get_current_settings().to_environment_variables(exclude_unset=True))
    preloader.serve(socket, own_prefixes=(OF_ONE_RUN,))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
