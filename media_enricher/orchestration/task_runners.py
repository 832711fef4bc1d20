"""The task runner that the settings name. A new kind is one more entry here; no flow changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from media_enricher.settings import Settings, SettingsError, TaskRunnerName, settings
from process_control.processes import follow_parent

LOOPBACK = "127.0.0.1"


def _threads(ours: Settings) -> TaskRunner[Any]:
    # A thread only waits for its batch to come back from the engine workers.
    return ThreadPoolTaskRunner(max_workers=ours.batches_in_flight)


def _processes(ours: Settings) -> TaskRunner[Any]:
    return ProcessPoolTaskRunner(max_workers=ours.engine_workers, initializer=follow_parent)


def _dask(ours: Settings) -> TaskRunner[Any]:
    from prefect_dask.task_runners import DaskTaskRunner  # noqa: PLC0415 - slow, and an extra

    if ours.dask_address:
        return DaskTaskRunner(address=ours.dask_address)
    return DaskTaskRunner(
        cluster_kwargs={
            "n_workers": ours.engine_workers,
            "threads_per_worker": 2,  # while one hands a batch back, the engine worker has the next
            "dashboard_address": f"{LOOPBACK}:0",  # by default, anybody could look at it
        }
    )


def _ray(ours: Settings) -> TaskRunner[Any]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a run tells nobody that it runs
    from prefect_ray.task_runners import RayTaskRunner  # noqa: PLC0415 - slow, and an extra

    here = {"num_cpus": ours.engine_workers, "include_dashboard": False}
    runner: TaskRunner[Any] = RayTaskRunner(
        address=ours.ray_address, init_kwargs=None if ours.ray_address else here
    )
    return runner


_RUNNERS: dict[TaskRunnerName, Callable[[Settings], TaskRunner[Any]]] = {
    TaskRunnerName.THREADS: _threads,
    TaskRunnerName.PROCESSES: _processes,
    TaskRunnerName.DASK: _dask,
    TaskRunnerName.RAY: _ray,
}


def task_runner() -> TaskRunner[Any]:
    """The runner for the mapped `enrich` task runs, by `MEDIA_ENRICHER_TASK_RUNNER`.

    Raises:
        SettingsError: a setting is invalid, or the runner is not installed.
    """
    ours = settings()
    name = ours.task_runner
    try:
        return _RUNNERS[name](ours)
    except ModuleNotFoundError as missing:
        raise SettingsError(
            f"MEDIA_ENRICHER_TASK_RUNNER = {name.value!r} needs {missing.name}, which is not "
            f"installed. In the checkout: pip install --editable '.[{name.value}]'"
        ) from None
