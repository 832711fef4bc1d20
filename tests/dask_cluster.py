"""A Dask cluster as on other machines: a scheduler, and workers with an environment of theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from supabase_local.ports import HOST, free_port
from tests.waiting import PATIENCE_SECONDS

_QUIET = {"DASK_LOGGING__DISTRIBUTED": "error"}
_AS_THE_GUIDE_SAYS = {"DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "false"}


class DaskCluster(NamedTuple):
    """A running one.

    Attributes:
        address: of the scheduler.
        workers: the process that has started the worker processes.
    """

    address: str
    workers: psutil.Process


@contextmanager
def dask_cluster(
    environment: Mapping[str, str], workers: int, folder: Path
) -> Iterator[DaskCluster]:
    """Start a cluster, and end it.

    Args:
        environment: of the workers: where the project is, and its keys.
        workers: worker processes.
        folder: for what Dask writes.
    """
    address = f"tcp://{HOST}:{free_port()}"
    scheduler = subprocess.Popen(
        [
            *(sys.executable, "-m", "distributed.cli.dask_scheduler"),
            *("--host", address, "--no-dashboard"),
        ],
        env=os.environ | _QUIET | _AS_THE_GUIDE_SAYS,
        cwd=folder,
    )
    nannies = subprocess.Popen(
        [
            *(sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-dashboard"),
            *("--nworkers", str(workers), "--nthreads", "2"),
            *("--preload", "flows.backfill"),  # as the guide says: a first batch waits 2 s for it
        ],
        env=dict(os.environ) | _QUIET | dict(environment) | {"MEDIA_ENRICHER_TASK_RUNNER": "dask"},
        cwd=folder,
    )
    try:
        yield DaskCluster(address, psutil.Process(nannies.pid))
    finally:
        for process in (nannies, scheduler):
            process.terminate()
            process.wait(timeout=PATIENCE_SECONDS)
